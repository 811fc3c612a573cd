// Memory for time: a part of a graph of which only the result is kept.
#pragma once

#include "autograd/tape.h"

namespace lowvar {

/// f(xs), of which the tape keeps the result alone: a backward pass runs f again for what is inside (Griewank
/// & Walther 2000, "Algorithm 799: revolve", with one level; Chen et al. 2016). f must give the same each
/// time and look at no Var but those it is handed; it may look at arrays and numbers. Gradients of every
/// order, not of groups. A recorded gradient runs f once for each of the xs.
template <class T>
Var<T> rematerialise(const std::type_identity_t<Subgraph<T>>& f, const std::vector<Var<T>>& xs,
                     At at = At::current());

}  // namespace lowvar
