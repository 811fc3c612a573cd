#include "experiments/bike_planner.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/vmath.h"

#ifdef LOWVAR_GLPK
#include <glpk.h>
#endif

namespace lowvar {
namespace {

/// P(N = 0), P(N = 1), ... of a Poisson number; the last is P(N >= it).
std::vector<double> poisson(double mean) {
  std::vector<double> out = {lowvar::exp(-mean)};
  double left = 1 - out[0];
  for (int k = 1; left > 1e-12; ++k) {
    out.push_back(out.back() * mean / k);
    left -= out.back();
    if (k > mean && out.back() < 1e-13) break;
  }
  out.back() += std::max(left, 0.0);
  return out;
}

/// The mean of a Poisson number of this mean, given that it is at least k.
double mean_from(int k, double mean) {
  const auto p = poisson(mean);
  double probability = 0, sum = 0;
  for (int n = static_cast<int>(p.size()) - 1; n >= k; --n)
    probability += p[static_cast<std::size_t>(n)], sum += n * p[static_cast<std::size_t>(n)];
  return probability > 0 ? sum / probability : k;
}

/// What a half hour of an hour has shown at a station.
struct Seen {
  int half_hours = 0, number = 0;  // all, and what they brought that was counted in full
  std::vector<int> at_least = {};  // of half hours that were not

  void add(int n, bool whole) {
    ++half_hours;
    if (whole)
      number += n;
    else
      at_least.push_back(n);
  }
};

/// The means of one station's hours.
std::vector<double> fitted(const std::vector<Seen>& hours) {
  constexpr double prior_half_hours = 2;
  constexpr int rounds = 60;
  double all = 0, number = 0;
  for (const Seen& each : hours)
    all += each.half_hours,
        number += std::accumulate(each.at_least.begin(), each.at_least.end(), 1.0 * each.number);
  const double prior = std::max(number / all, 1e-3);
  std::vector<double> out;
  for (const Seen& each : hours) {
    double mean = prior;
    for (int i = 0; i < rounds; ++i) {  // expectation and maximisation
      double sum = each.number + prior_half_hours * prior;
      for (const int k : each.at_least) sum += mean_from(k, mean);
      mean = sum / (each.half_hours + prior_half_hours);
      if (each.at_least.empty()) break;
    }
    out.push_back(mean);
  }
  return out;
}

}  // namespace

BikeForecast fit_forecast(const BikeShare& world, int days, std::uint64_t seed) {
  const int S = world.stations(), H = world.city().hours();
  const auto table = [&] {
    return std::vector(static_cast<std::size_t>(S), std::vector<Seen>(static_cast<std::size_t>(H)));
  };
  auto hired = table(), parked = table();
  std::vector<int> state = world.start(), arrived(static_cast<std::size_t>(S));
  const std::vector<double> nothing(static_cast<std::size_t>(world.trucks()), 0);
  Rng rng(seed, "bike-history");
  for (int t = 0; t < days * world.half_hours(); ++t) {
    const std::vector<int> before = state;
    rng.seek(static_cast<std::uint32_t>(t) + 1);
    world.step(state, nothing, rng, arrived.data());
    const auto hour = static_cast<std::size_t>(t % world.half_hours() / 2);
    for (std::size_t s = 0; s < static_cast<std::size_t>(S); ++s) {
      const int most = before[s] + arrived[s];
      parked[s][hour].add(arrived[s], most < world.city().stations[s].docks);
      hired[s][hour].add(most - state[s], state[s] > 0);
    }
  }
  BikeForecast out{std::vector<double>(static_cast<std::size_t>(H * S)), {}};
  out.arrivals = out.departures;
  for (int s = 0; s < S; ++s)
    for (auto* const of : {&out.departures, &out.arrivals}) {
      const auto means = fitted((of == &out.departures ? hired : parked)[static_cast<std::size_t>(s)]);
      for (int h = 0; h < H; ++h)
        (*of)[static_cast<std::size_t>(h * S + s)] = means[static_cast<std::size_t>(h)];
    }
  return out;
}

double BikePlanner::at(const std::vector<double>& table, int station, int t, double bicycles) const {
  const auto s = static_cast<std::size_t>(station);
  const double* const of =
      table.data() + static_cast<std::size_t>(t % world_->half_hours()) * offset_.back() + offset_[s];
  const int docks = world_->city().stations[s].docks;
  const int below = std::clamp(static_cast<int>(bicycles), 0, docks - 1);
  return of[below] + (bicycles - below) * (of[below + 1] - of[below]);
}

#ifndef LOWVAR_GLPK

std::string BikePlanner::missing() { return "GLPK (apt-get install libglpk-dev, then build again)"; }

BikePlanner::BikePlanner(std::shared_ptr<const BikeShare>, std::uint64_t, Options) {
  throw Error("the planner of bicycles needs " + missing());
}

std::vector<double> BikePlanner::plan(std::span<const double>) const { return {}; }

#else

std::string BikePlanner::missing() { return ""; }

BikePlanner::BikePlanner(std::shared_ptr<const BikeShare> world, std::uint64_t seed, Options options)
    : world_(std::move(world)), options_(options), offset_{0} {
  const BikeForecast forecast = fit_forecast(*world_, options_.history, seed);
  const int S = world_->stations(), half_hours = world_->half_hours();
  for (const auto& each : world_->city().stations)
    offset_.push_back(offset_.back() + static_cast<std::size_t>(each.docks) + 1);
  lost_.assign(static_cast<std::size_t>(half_hours) * offset_.back(), 0);
  next_ = lost_;
  for (int s = 0; s < S; ++s) {
    const int docks = world_->city().stations[static_cast<std::size_t>(s)].docks;
    const auto whole = static_cast<std::size_t>(docks) + 1;
    std::vector<std::vector<double>> arrive, leave;  // the laws of each hour
    for (int h = 0; h < world_->city().hours(); ++h) {
      arrive.push_back(poisson(forecast.arrivals[static_cast<std::size_t>(h * S + s)]));
      leave.push_back(poisson(forecast.departures[static_cast<std::size_t>(h * S + s)]));
    }
    // The expectation over a half hour of a loss a trip and of `after` at what then stands here.
    const auto ahead = [&](int t, double loss, std::span<const double> after) {
      const auto hour = static_cast<std::size_t>(t % half_hours / 2);
      std::vector<double> arrived(whole, 0), out(whole, 0);
      for (int x = 0; x <= docks; ++x)
        for (int d = 0; d < static_cast<int>(leave[hour].size()); ++d)
          arrived[static_cast<std::size_t>(x)] +=
              leave[hour][static_cast<std::size_t>(d)] *
              (loss * std::max(d - x, 0) + after[static_cast<std::size_t>(std::max(x - d, 0))]);
      for (int x = 0; x <= docks; ++x)
        for (int a = 0; a < static_cast<int>(arrive[hour].size()); ++a)
          out[static_cast<std::size_t>(x)] +=
              arrive[hour][static_cast<std::size_t>(a)] *
              (loss * std::max(x + a - docks, 0) + arrived[static_cast<std::size_t>(std::min(x + a, docks))]);
      return out;
    };
    std::vector<double> bicycles(whole);
    std::iota(bicycles.begin(), bicycles.end(), 0.0);
    for (int t = 0; t < half_hours; ++t) {
      const auto place = static_cast<std::ptrdiff_t>(static_cast<std::size_t>(t) * offset_.back() +
                                                     offset_[static_cast<std::size_t>(s)]);
      std::vector<double> later(whole, 0);
      for (int k = options_.horizon; k-- > 0;) later = ahead(t + k, 1, later);
      std::copy(later.begin(), later.end(), lost_.begin() + place);
      later = ahead(t, 0, bicycles);
      std::copy(later.begin(), later.end(), next_.begin() + place);
    }
  }
}

namespace {

/// A truck might take bicycles from a station at its visit v, or leave some: as many as are worth it, of
/// which the first `pieces[0].most` save `pieces[0].saved` trips each, and so on, ever fewer.
struct Candidate {
  struct Piece {
    double most, saved;
  };
  int truck, visit, station;
  bool takes;
  std::vector<Piece> pieces = {};

  double all_saved(double most) const {
    double out = 0;
    for (const Piece& each : pieces) {
      const double part = std::min(each.most, most);
      out += part * each.saved, most -= part;
    }
    return out;
  }
};

/// A linear program that GLPK solves in whole numbers.
class Program {
 public:
  Program() : problem_(glp_create_prob()) { glp_set_obj_dir(problem_, GLP_MAX); }
  ~Program() { glp_delete_prob(problem_); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  struct Term {
    int column;
    double factor;
  };

  int column(double most, double value, bool whole) {
    const int out = glp_add_cols(problem_, 1);
    glp_set_col_bnds(problem_, out, GLP_DB, 0, most);
    glp_set_obj_coef(problem_, out, value);
    if (whole) glp_set_col_kind(problem_, out, GLP_BV);
    return out;
  }
  /// low <= the sum of the terms <= high; low may be -infinity.
  void row(double low, double high, const std::vector<Term>& terms) {
    const int at = glp_add_rows(problem_, 1);
    glp_set_row_bnds(problem_, at, std::isinf(low) ? GLP_UP : low == high ? GLP_FX : GLP_DB, low, high);
    std::vector<int> index = {0};
    std::vector<double> factor = {0};
    for (const Term& each : terms) index.push_back(each.column), factor.push_back(each.factor);
    glp_set_mat_row(problem_, at, static_cast<int>(terms.size()), index.data(), factor.data());
  }

  /// The best solution that a tree of so many nodes has; zeros where it has none.
  std::vector<double> solve(int nodes) {
    const int n = glp_get_num_cols(problem_);
    std::vector<double> out(static_cast<std::size_t>(n) + 1, 0);
    glp_smcp simplex;
    glp_init_smcp(&simplex);
    simplex.msg_lev = GLP_MSG_OFF;
    if (glp_simplex(problem_, &simplex) != 0 || glp_get_status(problem_) != GLP_OPT) return out;
    glp_iocp integer;
    glp_init_iocp(&integer);
    integer.msg_lev = GLP_MSG_OFF;
    integer.mip_gap = 0.05;
    integer.bt_tech = GLP_BT_DFS;  // to a solution first, and then to better ones
    integer.br_tech = GLP_BR_LFV;
    int left = nodes;
    integer.cb_info = &left;
    integer.cb_func = [](glp_tree* tree, void* info) {
      if (glp_ios_reason(tree) == GLP_ISELECT && --*static_cast<int*>(info) < 0) glp_ios_terminate(tree);
    };
    glp_intopt(problem_, &integer);
    const int status = glp_mip_status(problem_);
    if (status != GLP_OPT && status != GLP_FEAS) return out;
    for (int i = 1; i <= n; ++i) out[static_cast<std::size_t>(i)] = glp_mip_col_val(problem_, i);
    return out;
  }

 private:
  glp_prob* problem_;
};

}  // namespace

std::vector<double> BikePlanner::plan(std::span<const double> state) const {
  constexpr double worth = 0.1;  // trips that a visit has to save
  const BikeShare& world = *world_;
  const int L = static_cast<int>(world.city().levels.size()), J = world.trucks();
  const double capacity = world.city().capacity;
  const int now = static_cast<int>(state[static_cast<std::size_t>(world.half_hour())]);

  std::vector<Candidate> candidates;
  std::vector<double> expected(state.begin(), state.begin() + world.stations());
  double weight = 1;
  for (int v = 0; v < options_.visits; ++v, weight *= options_.later) {
    // What may be done at each station.
    std::vector<Candidate> here[2];
    for (int s = 0; s < world.stations(); ++s)
      for (const bool takes : {false, true}) {
        Candidate c{0, v, s, takes};
        std::vector<double> targets;
        for (int l = 0; l < L; ++l) targets.push_back(world.target(s, l));
        std::sort(targets.begin(), targets.end());
        if (takes) std::reverse(targets.begin(), targets.end());
        double at = expected[static_cast<std::size_t>(s)];
        for (const double to : targets) {
          const double most = takes ? at - to : to - at;
          if (most < 0.5) continue;
          double saved = (lost(s, now + v, at) - lost(s, now + v, to)) / most;
          saved *= weight;
          if (!c.pieces.empty()) saved = std::min(saved, c.pieces.back().saved);
          c.pieces.push_back({most, saved});
          at = to;
        }
        if (!c.pieces.empty()) here[takes].push_back(std::move(c));
      }
    for (auto& of : here)
      std::stable_sort(of.begin(), of.end(), [&](const Candidate& a, const Candidate& b) {
        return a.all_saved(capacity) > b.all_saved(capacity);
      });
    for (int j = 0; j < J; ++j)
      for (const auto& of : here) {
        int left = options_.candidates;
        for (const Candidate& each : of) {
          if (left == 0) break;
          const auto& round = world.round(j);
          if (!std::binary_search(round.begin(), round.end(), each.station)) continue;
          candidates.push_back(each);
          candidates.back().truck = j;
          --left;
        }
      }
    for (int s = 0; s < world.stations(); ++s)
      expected[static_cast<std::size_t>(s)] = next(s, now + v, expected[static_cast<std::size_t>(s)]);
  }

  Program program;
  using Terms = std::vector<Program::Term>;
  std::vector<int> visits;   // of each candidate: the column that says whether it is done
  std::vector<Terms> moved;  // and those that sum to the bicycles it moves
  std::vector<Terms> of_station(static_cast<std::size_t>(world.stations()));
  for (const Candidate& c : candidates) {
    const int done = program.column(1, -worth, true);
    visits.push_back(done);
    of_station[static_cast<std::size_t>(c.station)].push_back({done, 1});
    auto& sum = moved.emplace_back();
    for (const auto& piece : c.pieces) {
      const double most = std::min(piece.most, capacity);
      const int part = program.column(most, piece.saved, false);
      program.row(-INFINITY, 0, {{part, 1}, {done, -most}});
      sum.push_back({part, 1});
    }
  }
  for (const Terms& terms : of_station)
    if (terms.size() > 1) program.row(-INFINITY, 1, terms);
  for (int j = 0; j < J; ++j) {
    Terms loaded;  // less what is there now
    for (int v = 0; v < options_.visits; ++v) {
      Terms one;
      for (std::size_t i = 0; i < candidates.size(); ++i) {
        const Candidate& c = candidates[i];
        if (c.truck != j || c.visit != v) continue;
        one.push_back({visits[i], 1});
        for (const auto& part : moved[i]) loaded.push_back({part.column, c.takes ? 1. : -1.});
      }
      if (one.empty()) continue;
      const double load = state[static_cast<std::size_t>(world.load(j))];
      program.row(-INFINITY, 1, one);
      program.row(-load, capacity - load, loaded);
    }
  }
  const auto solution = program.solve(options_.nodes);

  std::vector<double> out(static_cast<std::size_t>(J), 0);
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& c = candidates[i];
    if (c.visit > 0 || solution[static_cast<std::size_t>(visits[i])] < 0.5) continue;
    double amount = 0;
    for (const auto& part : moved[i]) amount += solution[static_cast<std::size_t>(part.column)];
    if (amount < 0.5) continue;
    const double stands = state[static_cast<std::size_t>(c.station)];
    const double wanted = stands + (c.takes ? -amount : amount);
    int best = -1;
    for (int l = 0; l < L; ++l) {
      const int to = world.target(c.station, l);
      if (c.takes ? to >= stands : to <= stands) continue;
      if (best < 0 || std::abs(to - wanted) < std::abs(world.target(c.station, best) - wanted)) best = l;
    }
    const auto& round = world.round(c.truck);
    const auto place = std::lower_bound(round.begin(), round.end(), c.station) - round.begin();
    if (best >= 0) out[static_cast<std::size_t>(c.truck)] = static_cast<double>(1 + place * L + best);
  }
  return out;
}

#endif

}  // namespace lowvar
