// The elementwise operations of ops.h, compiled for float: apart, for they take longest.
#include "autograd/op_list.h"

namespace lowvar {

template std::vector<OpEntry<float>> detail::elementwise_entries(ElementwiseOps);

}  // namespace lowvar
