#include "experiments/answers.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "algorithms/data/groups.h"
#include "algorithms/estimators/groups.h"
#include "algorithms/exact/tabular.h"
#include "core/parallel.h"

namespace lowvar {
namespace {

constexpr int answers_at_once = 1024, groups_at_once = 2048;
constexpr double most_products = 2e9;  // of counts of classes and parameters

std::size_t at(int i) { return static_cast<std::size_t>(i); }

std::size_t size_of(const Parameters& theta) {
  std::size_t d = 0;
  for (const auto& x : theta) d += x.size();
  return d;
}

/// States that a policy says something of: the end of an answer is read by nobody.
int known_states(const World& world, const Policy& policy) {
  const auto* reader = std::get_if<Reader>(&policy.model);
  return reader ? reader->states() : world.mdp->S;
}

/// f(begin, end) for stretches of the answers, and its results in order.
template <class F, class G>
void in_parts(int n, int size, F&& f, G&& with) {
  ordered_reduce((n + size - 1) / size, [&](int k) { return f(k * size, std::min(n, (k + 1) * size)); },
                 [&](int k, auto part) { with(k * size, std::move(part)); });
}

}  // namespace

Array<double> state_probabilities(const World& world, const Policy& policy, const Parameters& theta) {
  Array<double> out = zeros<double>(world.mdp->S, world.A);
  std::vector<int> states(at(world.mdp->S));
  std::iota(states.begin(), states.end(), 0);
  const int known = known_states(world, policy);
  for (int begin = 0; begin < known; begin += answers_at_once) {
    const int end = std::min(known, begin + answers_at_once);
    const std::span<const int> some(states.data() + begin, at(end - begin));
    const Array<double> p = probabilities(policy, theta, {some});
    std::copy(p.begin(), p.end(), row(out, begin).begin());
  }
  for (int s = known; s < world.mdp->S; ++s)
    for (double& p : row(out, s)) p = 1.0 / world.A;
  return out;
}

Trajectories Answers::part(int begin, int end) const {
  Trajectories out;
  append(out, batch, begin, end - begin);
  const int first = batch.begin(begin), last = batch.begin(end);
  for (Array<double> Trajectories::*of : {&Trajectories::log_reference, &Trajectories::action_values}) {
    const Array<double>& all = batch.*of;
    if (all.size() == 0) continue;
    out.*of = zeros<double>(last - first, shape(all).cols);
    std::copy_n(row(all, first).begin(), (out.*of).size(), (out.*of).data());
  }
  return out;
}

Answers visit_answers(const World& world, const Policy& policy, const Parameters& behaviour, Wanted wanted,
                      long limit) {
  const Mdp& mdp = *world.mdp;
  expect(world.sequences && world.sequences->enumerable(), "the answers of ", world.id, " cannot be visited");
  const Array<double> mu = state_probabilities(world, policy, behaviour);
  Answers out;
  Trajectories& all = out.batch;
  struct Step {
    int state, action;
    double before;
  };
  std::vector<Step> path;
  for (int start = 0; start < mdp.S; ++start) {
    if (mdp.start[at(start)] == 0) continue;
    path = {{start, -1, 1}};
    while (!path.empty()) {
      Step& last = path.back();
      if (++last.action == mdp.A) {
        path.pop_back();
        continue;
      }
      const double p = last.before * mu(last.state, last.action);
      if (p == 0) continue;
      const Outcome& o = mdp.outcomes(last.state, last.action).front();
      if (!mdp.terminal[at(o.next)]) {
        path.push_back({o.next, -1, p});
        continue;
      }
      expect(out.size() < limit, world.id, " has more than ", limit, " answers");
      for (const Step& step : path) {
        all.state.push_back(step.state);
        all.action.push_back(step.action);
        all.reward.push_back(0);
        all.log_mu.push_back(std::log(mu(step.state, step.action)));
      }
      all.reward.back() = o.reward;
      all.offset.push_back(side(all.state.size()));
      all.final_state.push_back(o.next);
      all.terminated.push_back(1), all.truncated.push_back(0);
      out.probability.push_back(p);
      out.prompt.push_back(start);
      out.of_prompt.push_back(mdp.start[at(start)]);
      out.R.push_back(o.reward);
    }
  }
  annotate(world, policy, behaviour, world.gamma, wanted, all);
  return out;
}

FirstTwo answer_moments(const Answers& answers, const Estimator& estimator, const Policy& policy,
                        const Parameters& theta, const Constants& constants) {
  const std::size_t d = size_of(theta);
  FirstTwo out{std::vector<double>(d), std::vector<double>(d)};
  in_parts(
      answers.size(), answers_at_once,
      [&](int begin, int end) {
        const Trajectories some = answers.part(begin, end);
        const Array<double> g = estimate({&estimator}, policy, theta, some, some.offset, constants).front();
        FirstTwo part{std::vector<double>(d), std::vector<double>(d)};
        for (int i = begin; i < end; ++i) {
          const double p = answers.of_prompt[at(i)] * answers.probability[at(i)];
          const auto of = row(g, i - begin);
          for (std::size_t j = 0; j < d; ++j) part.mean[j] += p * of[j], part.second[j] += p * of[j] * of[j];
        }
        return std::pair(std::move(part.mean), std::move(part.second));
      },
      [&](int, const std::pair<std::vector<double>, std::vector<double>>& part) {
        for (std::size_t j = 0; j < d; ++j) out.mean[j] += part.first[j], out.second[j] += part.second[j];
      });
  return out;
}

namespace {

/// [first, last) of each prompt's answers.
std::vector<std::pair<int, int>> prompts_of(const Answers& answers) {
  std::vector<std::pair<int, int>> out;
  for (int i = 0; i < answers.size(); ++i)
    if (i == 0 || answers.prompt[at(i)] != answers.prompt[at(i) - 1])
      out.push_back({i, i + 1});
    else
      out.back().second = i + 1;
  return out;
}

}  // namespace

double count_groups(const Answers& answers, int G, double limit) {
  double total = 0;
  for (const auto& [first, last] : prompts_of(answers)) {
    double n = 1;
    for (int k = 1; k <= G && n <= limit; ++k) n *= static_cast<double>(last - first + k - 1) / k;
    total += n;
  }
  return std::min(total, limit + 1);
}

Array<double> row_scores(const Answers& answers, const Policy& policy, const Parameters& theta) {
  Estimator score;
  score.weights = [](const Trajectories& batch, const Constants&) {
    return full<double>(batch.rows(), 1, 1.0);
  };
  std::vector<int> each(at(answers.batch.rows()) + 1);
  std::iota(each.begin(), each.end(), 0);
  return estimate({&score}, policy, theta, answers.batch, each, {}).front();
}

std::vector<double> row_log_pi(const Answers& answers, const Policy& policy, const Parameters& theta) {
  return log_pi_of<double>(policy, theta, answers.batch);
}

void for_each_group(const Answers& answers, const Estimator& estimator, const Array<double>& scores,
                    std::span<const double> log_pi, const Constants& constants, const VisitGroup& visit) {
  const int G = estimator.unit;
  const std::size_t d = scores.shape(1);
  struct Groups {
    std::vector<int> members;         // G of each
    std::vector<double> probability;  // of each
  };
  // What a stretch of groups weighs, in order, given to visit.
  std::vector<Groups> stretches;
  const auto weigh = [&](const Groups& groups) {
    Trajectories batch;
    std::vector<double> own_log_pi;
    std::vector<int> rows;  // of the answers
    for (const int i : groups.members) {
      append(batch, answers.batch, i, 1);
      for (int r = answers.batch.begin(i); r < answers.batch.end(i); ++r) {
        rows.push_back(r);
        own_log_pi.push_back(log_pi[at(r)]);
      }
    }
    const Array<double> weight = score_weights(estimator, batch, own_log_pi, constants);
    Array<double> g = zeros<double>(side(groups.probability.size()), static_cast<int>(d));
    for (int k = 0; k < side(groups.probability.size()); ++k) {
      const auto of = row(g, k);
      for (int r = batch.begin(k * G); r < batch.end(k * G + G - 1); ++r) {
        const double w = weight(r, 0) / G;
        if (w == 0) continue;
        const auto z = row(scores, rows[at(r)]);
        for (std::size_t j = 0; j < d; ++j) of[j] += w * z[j];
      }
    }
    return g;
  };
  const auto flush = [&] {
    ordered_reduce(
        side(stretches.size()), [&](int k) { return weigh(stretches[at(k)]); },
        [&](int k, const Array<double>& g) {
          for (int i = 0; i < shape(g).rows; ++i) visit(stretches[at(k)].probability[at(i)], row(g, i));
        });
    stretches.clear();
  };
  std::vector<int> chosen;
  const auto choose = [&](const auto& self, int from, int last, double weight) -> void {
    const int left = G - side(chosen.size());
    if (left == 0) {
      if (estimator.draws_again && std::all_of(chosen.begin(), chosen.end(), [&](int i) {
            return answers.R[at(i)] == answers.R[at(chosen[0])];
          }))
        return;
      if (stretches.empty() || side(stretches.back().probability.size()) == groups_at_once) {
        if (stretches.size() == 16) flush();
        stretches.emplace_back();
      }
      Groups& now = stretches.back();
      now.members.insert(now.members.end(), chosen.begin(), chosen.end());
      now.probability.push_back(weight);
      return;
    }
    if (from == last) return;
    double ways = 1, power = 1;  // of placing k copies of this one among those left, and their probability
    for (int k = 0; k <= left; ++k) {
      self(self, from + 1, last, weight * ways * power);
      ways *= static_cast<double>(left - k) / (k + 1);
      power *= answers.probability[at(from)];
      chosen.push_back(from);
    }
    chosen.resize(chosen.size() - at(left) - 1);
  };
  for (const auto& [first, last] : prompts_of(answers))
    choose(choose, first, last, answers.of_prompt[at(first)]);
  flush();
}

FirstTwo every_group(const Answers& answers, const Estimator& estimator, const Policy& policy,
                     const Parameters& theta, const Constants& constants) {
  const Array<double> z = row_scores(answers, policy, theta);
  const std::vector<double> log_pi = row_log_pi(answers, policy, theta);
  FirstTwo out{std::vector<double>(z.shape(1)), std::vector<double>(z.shape(1))};
  double kept = 0;
  for_each_group(answers, estimator, z, log_pi, constants, [&](double p, std::span<const double> g) {
    kept += p;
    for (std::size_t j = 0; j < g.size(); ++j) out.mean[j] += p * g[j], out.second[j] += p * g[j] * g[j];
  });
  expect(kept > 0, "no group of '", estimator.name, "' has returns that differ");
  if (estimator.draws_again)
    for (std::size_t j = 0; j < out.mean.size(); ++j) out.mean[j] /= kept, out.second[j] /= kept;
  return out;
}

std::vector<PromptClasses> classes_of(const Answers& answers, const std::string& estimator,
                                      const Policy& policy, const Parameters& theta) {
  const Estimator up = weighed_score(estimator, 1), down = weighed_score(estimator, -1);
  const std::size_t d = size_of(theta);
  std::vector<PromptClasses> out;
  for (const auto& [first, last] : prompts_of(answers)) {
    std::map<std::pair<double, int>, AnswerClass> classes;
    in_parts(
        last - first, answers_at_once,
        [&, first = first](int begin, int end) {
          const Trajectories some = answers.part(first + begin, first + end);
          return estimate({&up, &down}, policy, theta, some, some.offset, {});
        },
        [&, first = first](int begin, const std::vector<Array<double>>& f) {
          for (int k = 0; k < shape(f[0]).rows; ++k) {
            const int i = first + begin + k;
            AnswerClass& c = classes[{answers.R[at(i)], answers.batch.length(i)}];
            c.R = answers.R[at(i)], c.length = answers.batch.length(i);
            for (auto* x : {&c.mean_up, &c.square_up, &c.mean_down, &c.square_down}) x->resize(d, 0);
            const double p = answers.probability[at(i)];
            c.probability += p;
            const auto u = row(f[0], k), v = row(f[1], k);
            for (std::size_t j = 0; j < d; ++j) {
              c.mean_up[j] += p * u[j], c.square_up[j] += p * u[j] * u[j];
              c.mean_down[j] += p * v[j], c.square_down[j] += p * v[j] * v[j];
            }
          }
        });
    out.push_back({answers.of_prompt[at(first)], {}});
    for (auto& [key, c] : classes) {
      for (auto* x : {&c.mean_up, &c.square_up, &c.mean_down, &c.square_down})
        for (double& each : *x) each /= c.probability;
      out.back().classes.push_back(std::move(c));
    }
  }
  return out;
}

FirstTwo class_moments(const std::vector<PromptClasses>& prompts, const std::string& estimator, int longest) {
  FirstTwo out;
  double kept = 0;
  for (const PromptClasses& prompt : prompts) {
    const double limit = std::min(2e7, most_products / static_cast<double>(prompt.classes[0].mean_up.size()));
    const GroupMoments m = group_moments(estimator, prompt.classes, longest, limit);
    const double p = prompt.probability * m.kept;
    kept += p;
    out.mean.resize(m.mean.size(), 0), out.second.resize(m.mean.size(), 0);
    for (std::size_t j = 0; j < m.mean.size(); ++j)
      out.mean[j] += p * m.mean[j], out.second[j] += p * m.second[j];
  }
  for (std::size_t j = 0; j < out.mean.size(); ++j) out.mean[j] /= kept, out.second[j] /= kept;
  return out;
}

std::vector<double> through_model(const World& world, const Policy& policy, const Parameters& theta,
                                  const Array<double>& of_outputs) {
  std::vector<double> out(size_of(theta), 0);
  in_parts(
      known_states(world, policy), answers_at_once,
      [&](int begin, int end) {
        std::vector<int> states(at(end - begin));
        std::iota(states.begin(), states.end(), begin);
        Array<double> slope = zeros<double>(end - begin, world.A);
        std::copy_n(row(of_outputs, begin).begin(), slope.size(), slope.data());
        Tape<double> tape;
        const auto parameters = tape.parameters(borrow(theta));
        const auto g =
            grad(sum(forward(policy.model, parameters, states, Var<double>()) * slope), parameters);
        std::vector<double> flat;
        for (const auto& x : g) flat.insert(flat.end(), x.begin(), x.end());
        return flat;
      },
      [&](int, const std::vector<double>& part) {
        for (std::size_t j = 0; j < part.size(); ++j) out[j] += part[j];
      });
  return out;
}

std::vector<double> return_gradient(const World& world, const Policy& policy, const Parameters& theta) {
  const Mdp& mdp = *world.mdp;
  return through_model(
      world, policy, theta,
      from_values<double>(mdp.S, mdp.A, policy_gradient(mdp, state_probabilities(world, policy, theta))));
}

namespace {

/// The policy that divergences are taken to, [S x A]. Throws Error where the world says none.
Array<double> reference_of(const World& world) {
  expect(world.sequences && world.sequences->reference.size() > 0, world.id,
         " says no policy that a divergence could be taken to");
  return state_probabilities(world, token_policy(world, world.sequences->own()),
                             {world.sequences->reference});
}

}  // namespace

std::vector<RestingPlace> resting_places(const World& world, double beta) {
  expect(beta > 0, "a divergence rests somewhere where its weight is positive, got ", beta);
  const Mdp& tree = *world.mdp;
  const Array<double> ref = reference_of(world);
  std::vector<RestingPlace> out;
  for (const auto& [name, pi] : {std::pair{"optimum", soft_optimum(tree, ref, beta)},
                                 {"partial", partial_rest(tree, ref, beta)},
                                 {"k3", k3_rest(tree, ref, beta)}})
    out.push_back({name, regularised(tree, pi, ref, beta)});
  return out;
}

Divergence divergence_from_reference(const World& world, const Policy& policy, const Parameters& theta) {
  const Array<double> ref = reference_of(world);
  const Mdp& mdp = *world.mdp;
  const Array<double> pi = state_probabilities(world, policy, theta);
  // The divergence is the return of the rewards log pi/ref, whose own gradient is E z = 0 on average.
  Divergence out{0, {}, std::vector<double>(at(mdp.S), 0)};
  Array<double> Q = zeros<double>(mdp.S, mdp.A), slope = Q;
  for (int s = mdp.S; s-- > 0;) {  // longer prefixes stand behind shorter ones
    if (mdp.terminal[at(s)]) continue;
    for (int a = 0; a < mdp.A; ++a) {
      Q(s, a) = std::log(pi(s, a) / ref(s, a)) + out.to_go[at(mdp.outcomes(s, a).front().next)];
      out.to_go[at(s)] += pi(s, a) * Q(s, a);
    }
  }
  std::vector<double> visited = mdp.start;
  for (int s = 0; s < mdp.S; ++s) {
    if (mdp.terminal[at(s)]) continue;
    out.KL += mdp.start[at(s)] * out.to_go[at(s)];
    for (int a = 0; a < mdp.A; ++a) {
      slope(s, a) = visited[at(s)] * pi(s, a) * (Q(s, a) - out.to_go[at(s)]);
      visited[at(mdp.outcomes(s, a).front().next)] += visited[at(s)] * pi(s, a);
    }
  }
  out.gradient = through_model(world, policy, theta, slope);
  return out;
}

}  // namespace lowvar
