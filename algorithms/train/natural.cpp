#include "algorithms/train/natural.h"

#include <algorithm>
#include <numeric>

#include "core/parallel.h"

namespace lowvar {
namespace {

constexpr int shard = 256;  // rows whose whole graph one thread evaluates

template <class T>
Array<T> slice(const Array<double>& x, int begin, int end) {
  Array<T> out = zeros<T>(end - begin, shape(x).cols);
  std::copy(x.data() + static_cast<std::size_t>(begin) * x.shape(1),
            x.data() + static_cast<std::size_t>(end) * x.shape(1), out.data());
  return out;
}

}  // namespace

template <class T>
std::vector<double> fisher_times(const Policy& policy, std::span<const Array<T>> theta,
                                 const Trajectories& batch, const std::vector<double>& v, double damping) {
  std::vector<Array<T>> along;
  std::size_t k = 0;
  for (const auto& x : theta) {
    along.push_back(zeros_like(x));
    for (T& each : values(along.back())) each = static_cast<T>(v[k++]);
  }
  std::vector<double> out(v.size());
  const int n = batch.rows();
  ordered_reduce(
      (n + shard - 1) / shard,
      [&](int i) {
        const int begin = i * shard, end = std::min(n, begin + shard);
        const Array<T> seen = batch.observation.size() ? slice<T>(batch.observation, begin, end) : Array<T>();
        const auto state = batch.state.empty() ? std::span<const int>()
                                               : std::span(batch.state)
                                                     .subspan(static_cast<std::size_t>(begin),
                                                              static_cast<std::size_t>(end - begin));
        Tape<T> tape;
        const auto x = tape.parameters(theta), fixed = tape.constants(theta);
        const Var<T> observed = seen.size() ? tape.data(seen) : Var<T>();
        const auto divergence = sum(kl(policy(fixed, state, observed), policy(x, state, observed)));
        const auto g = grad_graph(divergence, x);
        Var<T> directional = dot(g[0], along[0]);
        for (std::size_t a = 1; a < g.size(); ++a) directional = directional + dot(g[a], along[a]);
        return grad(directional, x);
      },
      [&](int, const std::vector<Array<T>>& part) {
        std::size_t j = 0;
        for (const auto& each : part)
          for (const T d : each) out[j++] += static_cast<double>(d) / n;
      });
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
