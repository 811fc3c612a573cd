#include "algorithms/measure/decomposition.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/parallel.h"
#include "core/store.h"

namespace lowvar {
namespace {

constexpr int blocks = 64;  // of the jackknife
constexpr int actions = 3, continuations = 2, copies = actions * continuations;
constexpr int shard = States::block / copies;  // states
constexpr int shards_between_stands = 16;
constexpr double seconds_of_a_step = 3e-5;  // about, of one core

/// Of one state, means over actions, in this order; each times the state's weight, which is the last.
enum Mean { tau, second_none, second_value, second_exact, of_state, weight, means };

/// States as a model looks at them.
class Seen {
 public:
  Seen(const States& states, std::span<const int> which, bool numbered) {
    const int p = states.spaces().observation;
    Array<double> rows = zeros<double>(side(which.size()), p);
    const auto look = [&]<class X>(X) {
      std::vector<X> one(static_cast<std::size_t>(p));
      for (std::size_t k = 0; k < which.size(); ++k) {
        states.observe(which[k], which[k] + 1, one.data());
        std::copy(one.begin(), one.end(), row(rows, static_cast<int>(k)).begin());
      }
    };
    switch (states.spaces().observed) {
      case Spaces::Number::float32:
        look(float{});
        break;
      case Spaces::Number::float64:
        look(double{});
        break;
      default:
        look(std::uint8_t{});
    }
    if (numbered)
      state_.assign(rows.begin(), rows.end());
    else
      rows_ = std::move(rows);
  }

  Inputs inputs() const { return {state_, rows_.empty() ? nullptr : &rows_}; }
  const std::vector<int>& state() const { return state_; }
  const Observations& rows() const { return rows_; }
  ActingPolicy acting(const Policy& policy, const Parameters& theta) const {
    return {policy, theta, state_, rows_.get<double>()->size() ? rows_.get<double>() : nullptr};
  }

 private:
  std::vector<int> state_;
  Observations rows_;
};

/// Everything that `decompose` was asked.
struct Asked {
  const World& world;
  const Policy& policy;
  const Parameters& theta;
  const StateValue& V;
  const DecompositionOptions& o;

  bool numbered() const { return of_states(policy.model); }
  std::vector<double> values(const Seen& seen) const {
    return V ? V(seen.inputs()) : std::vector<double>(static_cast<std::size_t>(seen.inputs().rows()));
  }
  Rng stream(const char* name, int first) const { return {o.seed, name, static_cast<std::uint32_t>(first)}; }
};

/// A state of each episode [first, first + n), drawn uniformly from those that a step was taken from.
struct Roots {
  std::vector<std::vector<std::byte>> state;
  std::vector<int> episode;
  std::vector<double> weight;  // steps of the episode
};
Roots find_roots(const Asked& q, int first, int n) {
  struct Watched {
    Rng rng;
    std::vector<std::byte> now = {}, kept = {};
    int steps = 0;
  };
  const auto states = q.world.states(n);
  std::vector<Watched> episodes;
  for (int i = 0; i < n; ++i) episodes.push_back({q.stream("restart-step", first + i)});
  const auto watch = [&](int i) {
    Watched& e = episodes[static_cast<std::size_t>(i)];
    if (!e.now.empty() && e.rng.uniform() * ++e.steps < 1) e.kept = e.now;
    e.now.clear();
    states->save(i, e.now);
  };
  rollout(*states, q.policy, q.theta, q.world.T, {q.o.seed, "restart-episode", first, n}, watch);
  Roots out;
  for (int i = 0; i < n; ++i) {
    Watched& e = episodes[static_cast<std::size_t>(i)];
    if (e.steps == 0) continue;  // it began where it ends
    out.state.push_back(std::move(e.kept));
    out.episode.push_back(first + i);
    out.weight.push_back(e.steps);
  }
  return out;
}

/// What was done in each of the states: `actions` rows each, of what was seen there.
Trajectories act(const Asked& q, const Roots& roots, const Seen& seen) {
  const int m = q.world.m, rows = side(roots.episode.size()) * actions;
  const ActingPolicy acting = seen.acting(q.policy, q.theta);
  Trajectories out;
  std::vector<int> of_rows;
  if (m) out.action_vector = zeros<double>(rows, m);
  for (int r = 0; r < rows; ++r) {
    Rng rng = q.stream("restart-action",
                       roots.episode[static_cast<std::size_t>(r / actions)] * actions + r % actions);
    of_rows.push_back(r / actions);
    if (m)
      acting.act(r / actions, rng, row(out.action_vector, r));
    else
      acting.act(r / actions, rng, out.action.emplace_back());
    out.offset.push_back(r + 1);
  }
  if (q.numbered())
    for (const int r : of_rows) out.state.push_back(seen.state()[static_cast<std::size_t>(r)]);
  else
    out.observation = seen.rows().gather<double>(of_rows);
  out.reward.assign(static_cast<std::size_t>(rows), 0), out.log_mu = out.reward;
  out.terminated.assign(static_cast<std::size_t>(rows), 0), out.truncated = out.terminated;
  return out;
}

/// A of each copy and lambda: [copies of each root][lambda]; V are the roots' values.
std::vector<std::vector<double>> follow(const Asked& q, const Roots& roots, const Trajectories& first,
                                        const std::vector<double>& V) {
  const int n = side(roots.episode.size()) * copies, m = q.world.m;
  const auto states = q.world.states(n);
  std::vector<Rng> rng;
  std::vector<double> value;
  std::vector<int> running;
  for (int c = 0; c < n; ++c) {
    const auto root = static_cast<std::size_t>(c / copies);
    states->restore(c, roots.state[root]);
    rng.push_back(q.stream("restart-continuation", roots.episode[root] * copies + c % copies));
    value.push_back(V[root]);
    running.push_back(c);
  }
  std::vector<std::vector<double>> A(static_cast<std::size_t>(n), std::vector<double>(q.o.lambdas.size()));
  std::vector<double> fade(q.o.lambdas.size(), 1), vector(static_cast<std::size_t>(m));
  std::optional<ActingPolicy> acting;
  for (int k = 0; k < q.o.steps && !running.empty(); ++k) {
    std::vector<double> reward(running.size());
    std::vector<int> still;
    for (std::size_t r = 0; r < running.size(); ++r) {
      const int c = running[r];
      Rng& draws = rng[static_cast<std::size_t>(c)];
      draws.seek(static_cast<std::uint32_t>(k));
      int choice = 0;
      if (k == 0) {
        if (m)
          std::ranges::copy(row(first.action_vector, c / continuations), vector.begin());
        else
          choice = first.action[static_cast<std::size_t>(c / continuations)];
      } else if (m) {
        acting->act(static_cast<int>(r), draws, vector);
      } else {
        acting->act(static_cast<int>(r), draws, choice);
      }
      char terminated = 0;
      states->act(c, c + 1, {&choice, vector.data()}, {.each = &draws}, &reward[r], &terminated);
      if (!terminated) still.push_back(c);
    }
    std::vector<double> next(static_cast<std::size_t>(n));  // 0 where it has ended
    if (!still.empty()) {
      const Seen seen(*states, still, q.numbered());
      const std::vector<double> at = q.values(seen);
      for (std::size_t r = 0; r < still.size(); ++r) next[static_cast<std::size_t>(still[r])] = at[r];
      if (k + 1 < q.o.steps) acting.emplace(seen.acting(q.policy, q.theta));
    }
    for (std::size_t r = 0; r < running.size(); ++r) {
      const auto c = static_cast<std::size_t>(running[r]);
      const double delta = reward[r] + q.o.gamma * next[c] - value[c];
      for (std::size_t l = 0; l < fade.size(); ++l) A[c][l] += fade[l] * delta;
    }
    for (std::size_t l = 0; l < fade.size(); ++l) fade[l] *= q.o.gamma * q.o.lambdas[l];
    value = std::move(next);
    running = std::move(still);
  }
  return A;
}

/// Of the states of a shard: their g, and their means, for each lambda.
struct Shard {
  std::vector<Moments> moments;  // [2 x lambda]

  template <class F>
  void visit(F&& f) {
    f("moments", moments);
  }
};

Shard draw(const Asked& q, int first, int n) {
  Shard out{std::vector<Moments>(2 * q.o.lambdas.size())};
  const Roots roots = find_roots(q, first, n);
  const int N = side(roots.episode.size());
  if (N == 0) return out;
  const auto states = q.world.states(N);
  std::vector<int> all(static_cast<std::size_t>(N));
  std::iota(all.begin(), all.end(), 0);
  for (int i = 0; i < N; ++i) states->restore(i, roots.state[static_cast<std::size_t>(i)]);
  const Seen seen(*states, all, q.numbered());
  const std::vector<double> V = q.values(seen);
  const Trajectories done = act(q, roots, seen);
  const auto A = follow(q, roots, done, V);

  Estimator score;
  score.weights = [](const Trajectories& batch, const Constants&) {
    return full<double>(batch.rows(), 1, 1.0);
  };
  const Array<double> z = estimate({&score}, q.policy, q.theta, done, done.offset, {}).front();
  const int d = shape(z).cols;
  const auto product = [&](int r, int s) {
    return std::inner_product(row(z, r).begin(), row(z, r).end(), row(z, s).begin(), 0.0);
  };
  for (std::size_t l = 0; l < q.o.lambdas.size(); ++l) {
    Array<double> g = zeros<double>(N, d), mean = zeros<double>(N, means);
    for (int i = 0; i < N; ++i) {
      const double w = roots.weight[static_cast<std::size_t>(i)], v = V[static_cast<std::size_t>(i)];
      const auto of = [&](int j, int k) {
        return A[static_cast<std::size_t>((i * actions + j) * continuations + k)][l];
      };
      const auto middle = [&](int j) { return (of(j, 0) + of(j, 1)) / 2; };
      for (int j = 0; j < actions; ++j) {
        const int r = i * actions + j, next = (j + 1) % actions, last = (j + 2) % actions;
        const double one = of(j, 0), two = of(j, 1), b = middle(next), c = middle(last);
        const double share = w / actions, z_sq = share * product(r, r);
        mean(i, tau) += (one - two) * (one - two) / 2 * z_sq;
        mean(i, second_none) += (one + v) * (two + v) * z_sq;
        mean(i, second_value) += one * two * z_sq;
        mean(i, second_exact) += ((one - b) * (two - c) + (one - c) * (two - b)) / 2 * z_sq;
        mean(i, of_state) += share * (middle(j) - c) * (b - c) * product(r, i * actions + next);
        for (int k = 0; k < d; ++k) g(i, k) += share * (middle(j) - (b + c) / 2) * z(r, k);
      }
      mean(i, weight) = w;
    }
    out.moments[2 * l] = Moments::of(g, g);
    out.moments[2 * l + 1] = Moments::of(mean, mean);
  }
  return out;
}

/// What was measured so far.
struct Going {
  std::vector<std::vector<Moments>> blocks;  // [block][2 x lambda]
  long states = 0;                           // that are asked for
  int shard = 0;                             // that is next

  template <class F>
  void visit(F&& f) {
    f("blocks", blocks), f("states", states), f("shard", shard);
  }
};

void expect_fits(const Going& stored, long states, std::size_t moments, std::size_t d, int shards) {
  bool fits = stored.states == states && stored.blocks.size() == blocks && stored.shard >= 0 &&
              stored.shard <= shards;
  for (std::size_t b = 0; fits && b < stored.blocks.size(); ++b) {
    fits = stored.blocks[b].size() == moments;
    for (std::size_t k = 0; fits && k < moments; ++k)
      fits = stored.blocks[b][k].fits(k % 2 ? std::size_t{means} : d);
  }
  expect(fits, "the stored measurement is of other states, parameters or lambdas");
}

constexpr const char* term_names[] = {"tau",         "a_none", "a_value", "a_exact", "s",
                                      "gradient_sq", "saved",  "critic",  "left"};

std::vector<double> terms(const Moments& g, const Moments& mean) {
  const double w = mean.mean[weight],
               g_sq = std::inner_product(g.mean.begin(), g.mean.end(), g.mean.begin(), 0.0),
               signal = (g_sq - g.trace_cov() / g.n) / (w * w);
  const auto expected = [&](Mean m) { return mean.mean[m] / w; };
  const double of_tau = expected(tau), none = expected(second_none) - expected(of_state),
               value = expected(second_value) - expected(of_state),
               exact = expected(second_exact) - expected(of_state), s = expected(of_state) - signal;
  return {of_tau,
          none,
          value,
          exact,
          s,
          signal,
          (none - value) / (of_tau + none + s),
          (value - exact) / (of_tau + value + s),
          exact / (of_tau + exact + s)};
}

}  // namespace

StateValue table_value(std::vector<double> V) {
  return [V = std::move(V)](const Inputs& seen) {
    std::vector<double> out;
    for (const int s : seen.state) out.push_back(V.at(static_cast<std::size_t>(s)));
    return out;
  };
}

StateValue model_value(Model model, Parameters w, double scale) {
  expect(outputs(model) == 1, "the value of a state is one number, got a model of ", outputs(model));
  return [=](const Inputs& seen) {
    const Array<double> V = model_outputs<double>(model, w, seen);
    std::vector<double> out(V.begin(), V.end());
    for (double& x : out) x /= scale;
    return out;
  };
}

std::vector<Decomposed> decompose(const World& world, const Policy& policy, const Parameters& theta,
                                  const StateValue& V, const DecompositionOptions& o) {
  expect(o.states >= 2 && o.states <= std::numeric_limits<int>::max() / copies,
         "a variance needs at least 2 states, and there is room for ",
         std::numeric_limits<int>::max() / copies, "; got ", o.states);
  expect(o.steps >= 1, "at least one step is looked at, got ", o.steps);
  expect(o.gamma >= 0 && o.gamma <= 1, "gamma must lie in [0, 1], got ", o.gamma);
  expect(!o.lambdas.empty(), "there must be a lambda");
  for (const double lambda : o.lambdas)
    expect(lambda >= 0 && lambda <= 1, "lambda must lie in [0, 1], got ", lambda);
  const Asked asked{world, policy, theta, V, o};
  const int states = static_cast<int>(o.states), shards = (states + shard - 1) / shard;
  const std::size_t L = o.lambdas.size();
  std::size_t d = 0;
  for (const auto& x : theta) d += x.size();
  Going going{std::vector(blocks, std::vector<Moments>(2 * L)), o.states};
  if (!o.keeper.kept.empty()) {
    restore_from(o.keeper.kept, going);
    expect_fits(going, o.states, 2 * L, d, shards);
  }
  while (going.shard < shards) {
    const int begin = going.shard, end = std::min(shards, begin + shards_between_stands);
    ordered_reduce(
        end - begin,
        [&](int i) {
          const int first = (begin + i) * shard;
          return draw(asked, first, std::min(shard, states - first));
        },
        [&](int i, const Shard& one) {
          auto& to = going.blocks[static_cast<std::size_t>((begin + i) % blocks)];
          for (std::size_t k = 0; k < to.size(); ++k)
            if (one.moments[k].n > 0) to[k].merge(one.moments[k]);
          o.progress(std::min<long>(states, (begin + i + 1L) * shard), states);
        });
    going.shard = end;
    if (o.keeper.stands)
      o.keeper.stands(seconds_of_a_step * (end - begin) * shard * (world.T + copies * o.steps),
                      [&] { return stored(going); });
  }
  std::vector<std::vector<Moments>> used;
  for (auto& block : going.blocks)
    if (block.front().n > 0) used.push_back(std::move(block));
  expect(used.size() >= 2, "no step is taken: every start is an end");
  const auto estimates = jackknife(used, [&](const std::vector<Moments>& all) {
    std::vector<double> out;
    for (std::size_t l = 0; l < L; ++l)
      for (const double x : terms(all[2 * l], all[2 * l + 1])) out.push_back(x);
    return out;
  });
  double there = 0;
  for (const auto& block : used) there += block.front().n;
  std::vector<Decomposed> out;
  for (std::size_t l = 0; l < L; ++l) {
    Decomposed& to = out.emplace_back(Decomposed{o.lambdas[l], static_cast<long>(there), {}});
    for (std::size_t k = 0; k < std::size(term_names); ++k)
      to.quantities.push_back({term_names[k], estimates[l * std::size(term_names) + k], std::nullopt});
  }
  return out;
}

}  // namespace lowvar
