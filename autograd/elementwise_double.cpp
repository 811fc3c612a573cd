// The elementwise operations of ops.h, compiled for double: apart, for they take longest.
#include "autograd/op_list.h"

namespace lowvar {

template std::vector<OpEntry<double>> detail::elementwise_entries(ElementwiseOps);

}  // namespace lowvar
