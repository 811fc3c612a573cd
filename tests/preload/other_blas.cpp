// A BLAS that is not OpenBLAS, as far as its name goes.
extern "C" void cblas_dgemm() {}
