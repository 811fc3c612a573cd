#include "algorithms/estimators/gradient.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "algorithms/data/returns.h"
#include "core/parallel.h"

namespace lowvar {
namespace {

std::vector<int> entries(const std::vector<int>& x, std::span<const int> rows) {
  std::vector<int> out;
  if (x.empty()) return out;
  out.reserve(rows.size());
  for (const int r : rows) out.push_back(x[static_cast<std::size_t>(r)]);
  return out;
}

/// x at `rows`, [n x 1].
template <class T>
Array<T> column(std::span<const double> x, std::span<const int> rows) {
  Array<T> out = zeros<T>(static_cast<int>(rows.size()), 1);
  for (std::size_t k = 0; k < rows.size(); ++k)
    out.data()[k] = static_cast<T>(x[static_cast<std::size_t>(rows[k])]);
  return out;
}

/// x[begin .. end), [n x 1].
template <class T>
Array<T> column(std::span<const double> x, int begin, int end) {
  Array<T> out = zeros<T>(end - begin, 1);
  for (int k = begin; k < end; ++k) out.data()[k - begin] = static_cast<T>(x[static_cast<std::size_t>(k)]);
  return out;
}

template <class T>
Array<T> gathered(const Array<double>& x, std::span<const int> rows) {
  Array<T> out = zeros<T>(static_cast<int>(rows.size()), shape(x).cols);
  for (std::size_t k = 0; k < rows.size(); ++k) {
    const auto from = row(x, rows[k]);
    std::copy(from.begin(), from.end(), row(out, static_cast<int>(k)).begin());
  }
  return out;
}

int shards_of(int n, int shard) { return (n + shard - 1) / shard; }

/// f(k, begin, end) for shards of `shard` of n rows, in parallel and dealt; it writes to `out`, where each of
/// them has `each` numbers, but for the last, which may have fewer.
template <class F>
void for_each_shard(int n, int shard, std::span<double> out, std::size_t each, F&& f) {
  const auto fill = [&](int from, int to) {
    parallel_for(to - from, [&](int i) {
      const int k = from + i;
      f(static_cast<std::size_t>(k), k * shard, std::min(n, (k + 1) * shard));
    });
  };
  if (!deals(n)) return fill(0, shards_of(n, shard));
  const auto [from, to] = own_part(shards_of(n, shard));
  const auto at = [&](int k) { return std::min(out.size(), static_cast<std::size_t>(k) * each); };
  complete(out, at(from), at(to), [&, from = from, to = to] { fill(from, to); });
}
/// The same where each row has as many numbers.
template <class F>
void for_each_shard(int n, int shard, std::span<double> out, F&& f) {
  const std::size_t a_row = n ? out.size() / static_cast<std::size_t>(n) : 0;
  for_each_shard(n, shard, out, static_cast<std::size_t>(shard) * a_row, f);
}

/// A policy's outputs in T, as the distribution of some of their rows.
template <class T>
struct Before {
  Array<T> rows, log_std;
  std::vector<int> levels;

  explicit Before(const PolicyOutputs& outputs)
      : rows(outputs.rows), log_std(outputs.log_std), levels(outputs.levels) {}
  Before(const PolicyOutputs& outputs, std::span<const int> which)
      : rows(gathered<T>(outputs.rows, which)), log_std(outputs.log_std), levels(outputs.levels) {}

  Distribution<T> distribution(Tape<T>& tape, int begin, int end) const {
    if (!levels.empty()) return MultiCategorical<T>{levels, tape.data(borrow(rows), begin, end)};
    if (!log_std.size()) return Categorical<T>{tape.data(borrow(rows), begin, end)};
    return DiagGaussian<T>{tape.data(borrow(rows), begin, end), tape.constant(borrow(log_std))};
  }
};

/// pi(a|s) of every choice a, [n x A].
Var<double> action_probabilities(const Distribution<double>& pi) {
  const auto* categorical = std::get_if<Categorical<double>>(&pi);
  expect(categorical != nullptr, "all-action sums over choices, and the actions of this policy are vectors");
  return exp(categorical->log_p);
}

/// The groups that rows are cut into, in trajectories.
std::vector<int> trajectories_of(const Trajectories& batch, std::span<const int> offset) {
  std::vector<int> out;
  for (const int row : offset)
    out.push_back(static_cast<int>(std::lower_bound(batch.offset.begin(), batch.offset.end(), row) -
                                   batch.offset.begin()));
  return out;
}

/// The critic's loss of each row, without its coefficient, [n x 1].
template <class T>
Var<T> critic_losses(const CriticObjective& o, Var<T> V, const Array<T>& target, const Array<T>& before) {
  const Var<T> error = V - target;
  if (o.loss == CriticLoss::huber) return huber(error, 1);
  if (o.clip == 0) return square(error) * T(0.5);
  const Var<T> clipped = clip(V - before, -o.clip, o.clip) + before - target;
  return maximum(square(error), square(clipped)) * T(0.5);
}

}  // namespace

template <class T>
BatchRows<T>::BatchRows(const Trajectories& batch, std::span<const int> rows)
    : size_(static_cast<int>(rows.size())),
      gathered_state_(entries(batch.state, rows)),
      gathered_choice_(entries(batch.action, rows)),
      state_(gathered_state_),
      choice_(gathered_choice_),
      observed_(batch.observation.empty() ? ObservedRows<T>(batch.observation)
                                          : ObservedRows<T>(batch.observation, rows)),
      vector_(batch.action_vector.size() ? gathered<T>(batch.action_vector, rows) : zeros<T>(0, 0)) {}

template <class T>
BatchRows<T>::BatchRows(const Trajectories& batch)
    : size_(batch.rows()),
      state_(batch.state),
      choice_(batch.action),
      observed_(batch.observation),
      vector_(batch.action_vector) {}

template class BatchRows<float>;
template class BatchRows<double>;

std::vector<Array<double>> estimate(const std::vector<const Estimator*>& estimators, const Policy& policy,
                                    const std::vector<Array<double>>& theta, const Trajectories& batch,
                                    std::span<const int> offset, const Constants& constants) {
  const int n = batch.rows(), G = static_cast<int>(offset.size()) - 1;
  int columns = 0;
  for (const Estimator* e : estimators) columns += e->weightings;
  std::size_t d = 0;
  for (const auto& x : theta) d += x.size();

  const BatchRows<double> rows(batch);
  Tape<double> tape;
  const auto parameters = tape.parameters(borrow(theta));
  const auto pi = rows.distribution(tape, policy, parameters, 0, n);
  const auto log_pi = log_prob(pi, rows.actions(tape, 0, n));
  const Array<double> log_pi_value = log_pi.value();

  const bool of_scores = std::any_of(estimators.begin(), estimators.end(),
                                     [](const Estimator* e) { return !e->all_actions && !e->objective; });

  // A surrogate reaches theta through log pi alone, so its gradient is the score times its own slope there.
  Array<double> slope = zeros<double>(n, columns);
  int column = 0;
  for (const Estimator* e : estimators) {
    if (e->all_actions || e->objective) {  // does not go through log pi(a_t|s_t)
      column += e->weightings;
      continue;
    }
    const Array<double> part = score_weights(*e, batch, values(log_pi_value), constants);
    for (int r = 0; r < n; ++r)
      for (int k = 0; k < e->weightings; ++k) slope(r, column + k) = part(r, k);
    column += e->weightings;
  }
  Array<double> all = of_scores ? grouped_grad(log_pi, parameters, offset, slope)  // [G*columns x d]
                                : zeros<double>(0, 0);

  std::vector<Array<double>> out;
  column = 0;
  for (const Estimator* e : estimators) {
    if (e->all_actions || e->objective) {
      const bool steps = e->all_actions;
      const Var<double> each = steps ? sum_rows(action_probabilities(pi) * e->weights(batch, constants))
                                     : e->objective(tape, policy, parameters, batch, constants);
      out.push_back(grouped_grad(each, parameters, each.rows() == n ? offset : trajectories_of(batch, offset),
                                 full<double>(each.rows(), 1, 1.0)));
      column += e->weightings;
      continue;
    }
    if (columns == 1 && !e->combine) {
      out.push_back(std::move(all));
      continue;
    }
    out.push_back(zeros<double>(G, static_cast<int>(d)));
    for (int i = 0; i < G; ++i) {
      const std::span<const double> gradients{row(all, i * columns + column).data(),
                                              d * static_cast<std::size_t>(e->weightings)};
      if (e->combine)
        e->combine(gradients, constants, row(out.back(), i));
      else
        std::copy(gradients.begin(), gradients.end(), row(out.back(), i).begin());
    }
    column += e->weightings;
  }
  return out;
}

Array<double> score_weights(const Estimator& estimator, const Trajectories& batch,
                            std::span<const double> log_pi, const Constants& constants) {
  const Array<double> psi = estimator.weights(batch, constants, log_pi);
  const Array<double> log_mu = from_values<double>(batch.rows(), 1, batch.log_mu);
  Array<double> at = zeros<double>(batch.rows(), estimator.weightings);
  for (int r = 0; r < batch.rows(); ++r)
    for (double& each : row(at, r)) each = log_pi[static_cast<std::size_t>(r)];
  return grad([&](Var<double> l) { return sum(estimator.surrogate(l, log_mu, psi)); }, at);
}

std::vector<double> policy_gradient_estimate(const Estimator& estimator, const Policy& policy,
                                             const std::vector<Array<double>>& theta,
                                             const Trajectories& batch, const Constants& constants) {
  const int whole[] = {0, batch.rows()};
  const Array<double> sum = estimate({&estimator}, policy, theta, batch, whole, constants).front();
  std::vector<double> g(sum.begin(), sum.end());
  for (double& each : g) each /= batch.size();
  return g;
}

template <class T>
Gradient<T> gradient(const PolicyTerm* of_policy, const CriticTerm* of_critic, const Arrays<T>& parameters,
                     std::size_t policy_arrays, const Trajectories& batch, std::span<const int> rows) {
  const int n = static_cast<int>(rows.size());
  const BatchRows<T> seen(batch, rows);
  std::vector<double> psi;
  double D = n;
  std::optional<Before<T>> before;
  if (of_policy) {
    for (const int r : rows) psi.push_back(of_policy->psi[static_cast<std::size_t>(r)]);
    if (of_policy->objective.standardised) standardise(psi);
    if (of_policy->objective.reduce == Reduce::trajectory)
      D = static_cast<double>(batch.size()) * n / batch.rows();
    if (of_policy->objective.kl != 0) before.emplace(*of_policy->before, rows);
  }
  int shard = 256;
  if (of_policy) shard = gradient_shard(of_policy->policy.model);
  if (of_critic) shard = std::min(shard, gradient_shard(of_critic->objective.model));
  const int shards = shards_of(n, shard);
  std::vector<double> sums(2 * static_cast<std::size_t>(shards),
                           0);  // of entropies and value losses, a shard
  const auto sum_at = [&](int begin) { return sums.data() + 2 * (begin / shard); };

  const auto policy_loss = [&](Tape<T>& tape, const std::vector<Var<T>>& theta, int begin, int end) {
    const Objective& o = of_policy->objective;
    const auto own = rows.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    const auto pi = seen.distribution(tape, of_policy->policy, theta, begin, end);
    const Var<T> log_pi = log_prob(pi, seen.actions(tape, begin, end));
    Var<T> loss =
        sum(o.estimator.surrogate(log_pi, column<T>(batch.log_mu, own), column<T>(psi, begin, end))) *
        T(-1 / D);
    const Var<T> H = entropy(pi);
    for (const T each : H.values()) sum_at(begin)[0] += static_cast<double>(each);
    if (o.entropy != 0) loss = loss + sum(H) * T(-o.entropy / n);
    if (before) loss = loss + sum(kl(before->distribution(tape, begin, end), pi)) * T(o.kl / n);
    return loss;
  };
  const auto critic_loss = [&](Tape<T>& tape, const std::vector<Var<T>>& w, int begin, int end) {
    const CriticObjective& o = of_critic->objective;
    const auto own = rows.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin));
    Var<T> V = seen.outputs(tape, o.model, w, begin, end);
    if (o.of_actions) V = pick(V, seen.actions(tape, begin, end).choice);
    const Var<T> loss =
        sum(critic_losses(o, V, column<T>(of_critic->target, own), column<T>(batch.value, own)));
    sum_at(begin)[1] = static_cast<double>(loss.item());
    return loss * T(o.coefficient / n);
  };

  auto total = sharded_value_and_grad(
      [&](Tape<T>& tape, const std::vector<Var<T>>& x, int begin, int end) {
        const auto cut = x.begin() + static_cast<std::ptrdiff_t>(policy_arrays);
        Var<T> loss;
        if (of_policy) loss = policy_loss(tape, {x.begin(), cut}, begin, end);
        if (!of_critic) return loss;
        const Var<T> of_values = critic_loss(tape, {cut, x.end()}, begin, end);
        return of_policy ? loss + of_values : of_values;
      },
      parameters, n, shard);
  if (deals(n)) {
    const auto [from, to] = own_part(shards);
    complete(sums, 2 * static_cast<std::size_t>(from), 2 * static_cast<std::size_t>(to), [] {});
  }
  double of_entropy = 0, of_values = 0;
  for (std::size_t k = 0; k < sums.size(); k += 2) of_entropy += sums[k], of_values += sums[k + 1];
  return {std::move(total.grad), of_entropy, of_values};
}

std::vector<double> weigh(const Estimator& estimator, const Trajectories& batch, double gamma,
                          std::span<const double> log_pi) {
  Constants constants;
  constants.gamma = gamma;
  const Array<double> psi = estimator.weights(batch, constants, log_pi);
  return {psi.begin(), psi.end()};
}

std::vector<double> lambda_returns(const Trajectories& batch, double gamma, double lambda) {
  std::vector<double> target(batch.value.size());
  for (int i = 0; i < batch.size() && !target.empty(); ++i) {
    const auto of = [&](auto& x) {
      return std::span(x.data() + batch.begin(i), static_cast<std::size_t>(batch.length(i)));
    };
    td_errors(batch.rewards(i), of(batch.value), of(batch.next_value), gamma, of(target));
    gae(of(target), gamma, lambda);
  }
  for (std::size_t r = 0; r < target.size(); ++r) target[r] += batch.value[r];
  return target;
}

template <class T>
Array<double> model_outputs(const Model& model, std::span<const Array<T>> w, const Inputs& inputs) {
  Array<double> out = zeros<double>(inputs.rows(), outputs(model));
  const auto seen = inputs.observed<T>();
  for_each_shard(inputs.rows(), gradient_shard(model), values(out), [&](std::size_t, int begin, int end) {
    Tape<T> tape;
    const auto y =
        forward(model, tape.constants(borrow(w)), inputs.states(begin, end), seen.on(tape, begin, end));
    std::copy(y.values().begin(), y.values().end(), row(out, begin).begin());
  });
  return out;
}

template <class T>
PolicyOutputs policy_outputs(const Policy& policy, std::span<const Array<T>> theta, const Inputs& inputs) {
  PolicyOutputs out{zeros<double>(inputs.rows(), outputs(policy.model)), zeros<double>(0, 0), policy.levels};
  if (policy.head == Head::gaussian) out.log_std = Array<double>(theta.back());
  const auto seen = inputs.observed<T>();
  for_each_shard(
      inputs.rows(), gradient_shard(policy.model), values(out.rows), [&](std::size_t, int begin, int end) {
        Tape<T> tape;
        const auto pi =
            policy(tape.constants(borrow(theta)), inputs.states(begin, end), seen.on(tape, begin, end));
        const Var<T> y = std::visit(
            [](const auto& p) {
              if constexpr (requires { p.log_p; })
                return p.log_p;
              else
                return p.mean;
            },
            pi);
        std::copy(y.values().begin(), y.values().end(), row(out.rows, begin).begin());
      });
  return out;
}

template <class T>
std::vector<double> log_pi_of(const Policy& policy, std::span<const Array<T>> theta,
                              const Trajectories& batch) {
  std::vector<double> out(static_cast<std::size_t>(batch.rows()));
  const BatchRows<T> seen(batch);
  for_each_shard(batch.rows(), gradient_shard(policy.model), out, [&](std::size_t, int begin, int end) {
    Tape<T> tape;
    const auto pi = seen.distribution(tape, policy, tape.constants(borrow(theta)), begin, end);
    const auto log_pi = log_prob(pi, seen.actions(tape, begin, end));
    std::copy(log_pi.values().begin(), log_pi.values().end(), out.begin() + begin);
  });
  return out;
}

template <class T>
double mean_kl(const Policy& policy, const PolicyOutputs& before, std::span<const Array<T>> theta,
               const Inputs& inputs, std::span<const double> weight) {
  const int n = inputs.rows();
  const int shard = gradient_shard(policy.model);
  std::vector<double> sums(static_cast<std::size_t>(shards_of(n, shard)));
  const auto seen = inputs.observed<T>();
  const Before<T> old(before);
  for_each_shard(n, shard, sums, 1, [&](std::size_t k, int begin, int end) {
    Tape<T> tape;
    const auto pi =
        policy(tape.constants(borrow(theta)), inputs.states(begin, end), seen.on(tape, begin, end));
    const auto each = kl(old.distribution(tape, begin, end), pi);
    for (int r = begin; r < end; ++r)
      sums[k] += static_cast<double>(each.values()[static_cast<std::size_t>(r - begin)]) *
                 (weight.empty() ? 1 : weight[static_cast<std::size_t>(r)]);
  });
  const double total = weight.empty() ? n : std::accumulate(weight.begin(), weight.end(), 0.0);
  return std::accumulate(sums.begin(), sums.end(), 0.0) / total;
}

double sampled_kl(std::span<const double> log_pi, std::span<const double> log_mu) {
  double sum = 0;
  for (std::size_t r = 0; r < log_pi.size(); ++r) {
    const double log_rho = log_pi[r] - log_mu[r];
    sum += std::expm1(log_rho) - log_rho;
  }
  return sum / static_cast<double>(log_pi.size());
}

template <class T>
std::vector<double> fisher_times(const Policy& policy, std::span<const Array<T>> theta,
                                 const Trajectories& batch, std::span<const double> v, double damping) {
  Arrays<T> along;
  std::size_t k = 0;
  for (const auto& x : theta) {
    along.push_back(zeros_like(x));
    for (T& each : values(along.back())) each = static_cast<T>(v[k++]);
  }
  const int n = batch.rows();
  const BatchRows<T> seen(batch);
  const auto divergence = [&](Tape<T>& tape, const std::vector<Var<T>>& x, int begin, int end) {
    return sum(kl(seen.distribution(tape, policy, tape.constants(borrow(theta)), begin, end),
                  seen.distribution(tape, policy, x, begin, end)));
  };
  const auto product =
      sharded_hvp(divergence, Arrays<T>(theta.begin(), theta.end()), along, n, gradient_shard(policy.model));
  std::vector<double> out;
  out.reserve(v.size());
  for (const auto& each : product)
    for (const T Hv : each) out.push_back(static_cast<double>(Hv) / std::max(n, 1));
  for (std::size_t j = 0; j < v.size(); ++j) out[j] += damping * v[j];
  return out;
}

#define LOWVAR_INSTANTIATE(T)                                                                              \
  template Gradient<T> gradient(const PolicyTerm*, const CriticTerm*, const Arrays<T>&, std::size_t,       \
                                const Trajectories&, std::span<const int>);                                \
  template Array<double> model_outputs(const Model&, std::span<const Array<T>>, const Inputs&);            \
  template PolicyOutputs policy_outputs(const Policy&, std::span<const Array<T>>, const Inputs&);          \
  template std::vector<double> log_pi_of(const Policy&, std::span<const Array<T>>, const Trajectories&);   \
  template double mean_kl(const Policy&, const PolicyOutputs&, std::span<const Array<T>>, const Inputs&,   \
                          std::span<const double>);                                                        \
  template std::vector<double> fisher_times(const Policy&, std::span<const Array<T>>, const Trajectories&, \
                                            std::span<const double>, double);
LOWVAR_INSTANTIATE(float)
LOWVAR_INSTANTIATE(double)
#undef LOWVAR_INSTANTIATE

}  // namespace lowvar
