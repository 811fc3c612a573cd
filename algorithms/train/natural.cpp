#include "algorithms/train/natural.h"

#include <algorithm>
#include <numeric>

#include "autograd/autograd.h"

namespace lowvar {

template <class T>
std::vector<double> fisher_times(const Policy& policy, std::span<const Array<T>> theta,
                                 const Trajectories& batch, const std::vector<double>& v, double damping) {
  const Array<T> seen(batch.observation);
  std::vector<Array<T>> along;
  std::size_t k = 0;
  for (const auto& x : theta) {
    along.push_back(zeros_like(x));
    for (T& each : values(along.back())) each = static_cast<T>(v[k++]);
  }
  const int n = batch.rows();
  const auto divergence = [&](Tape<T>& tape, const std::vector<Var<T>>& x, int begin, int end) {
    const auto state = batch.state.empty() ? std::span<const int>()
                                           : std::span(batch.state)
                                                 .subspan(static_cast<std::size_t>(begin),
                                                          static_cast<std::size_t>(end - begin));
    const Var<T> observed = seen.size() ? tape.data(seen, begin, end) : Var<T>();
    return sum(kl(policy(tape.constants(theta), state, observed), policy(x, state, observed)));
  };
  const auto product = sharded_hvp(divergence, std::vector<Array<T>>(theta.begin(), theta.end()), along, n);
  std::vector<double> out;
  out.reserve(v.size());
  for (const auto& each : product)
    for (const T Hv : each) out.push_back(static_cast<double>(Hv) / std::max(n, 1));
  for (std::size_t j = 0; j < v.size(); ++j) out[j] += damping * v[j];
  return out;
}

template std::vector<double> fisher_times(const Policy&, std::span<const Array<float>>, const Trajectories&,
                                          const std::vector<double>&, double);
template std::vector<double> fisher_times(const Policy&, std::span<const Array<double>>, const Trajectories&,
                                          const std::vector<double>&, double);

std::vector<double> conjugate_gradient(
    const std::function<std::vector<double>(const std::vector<double>&)>& A_times,
    const std::vector<double>& b, int iterations) {
  std::vector<double> x(b.size(), 0), r = b, p = b;
  const auto dot = [](const std::vector<double>& u, const std::vector<double>& v) {
    return std::inner_product(u.begin(), u.end(), v.begin(), 0.0);
  };
  double rr = dot(r, r);
  const double enough = 1e-20 * rr;
  for (int i = 0; i < iterations && rr > enough; ++i) {
    const auto Ap = A_times(p);
    const double alpha = rr / dot(p, Ap);
    for (std::size_t k = 0; k < x.size(); ++k) x[k] += alpha * p[k], r[k] -= alpha * Ap[k];
    const double next = dot(r, r);
    for (std::size_t k = 0; k < x.size(); ++k) p[k] = r[k] + next / rr * p[k];
    rr = next;
  }
  return x;
}

}  // namespace lowvar
