// Which updates of language models are the gradient of something? A field is one where its Jacobian is
// symmetric, and then no loop does work. E g of each update as a field over the policy's logits, a group
// being drawn from the policy itself: the asymmetry of its Jacobian by differences of the exact mean and by
// second derivatives, the work round a circle, which is the curl within it, and a slice of two fields.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numbers>

#include "algorithms/exact/gauss_legendre.h"
#include "autograd/autograd.h"
#include "experiments/figures/figures.h"
#include "experiments/figures/sequence_figures.h"
#include "experiments/parts.h"
#include "experiments/worlds.h"

namespace lowvar {
namespace {

constexpr double h = 1e-4;  // of central differences
constexpr int around = 64;  // points of the circle
constexpr std::uint64_t seed = 0;

struct Update {
  const char* name;
  const char* label;
  bool gradient;  // of something
};
constexpr Update updates[] = {{"rloo:4", "RLOO", true},
                              {"mean:4", "Dr. GRPO", true},
                              {"grpo:4", "GRPO without 1/length", true},
                              {"grpo:4+dynamic", "the same, dynamic sampling", true},
                              {"maxrl:4", "MaxRL", true},
                              {"gpg:4", "GPG", true},
                              {"opo:4", "OPO", true},
                              {"opo-loo:4", "OPO, leave one out", true},
                              {"grpo:4+seq-mean", "GRPO", false},
                              {"mean:4+seq-mean", "GRPO without sd", false},
                              {"grpo:4+token-mean", "token mean (DAPO)", false},
                              {"mean:4+token-mean", "token mean without sd", false},
                              {"grpo:4+token-mean+dynamic", "DAPO, dynamic sampling", false},
                              {"whiten:4+token-mean", "REINFORCE++", false},
                              {"kl:k1-reward", "KL: k1 in the reward", true},
                              {"kl:k3-loss-sequence", "KL: k3 of the answer, loss", true},
                              {"kl:k2-loss", "KL: k2 of the token, loss", false},
                              {"kl:k3-loss", "KL: k3 of the token, loss", false},
                              {"kl:k3-togo", "KL: k3 in the reward", false}};

bool of_divergence(const std::string& name) { return name.starts_with("kl:"); }

/// E g at theta, exactly.
std::vector<double> field(const World& world, const std::string& name, const Policy& policy,
                          const Parameters& theta) {
  const Estimator e = make_estimator(name);
  const Answers answers = visit_answers(world, policy, theta, wanted_by(e));
  if (e.unit == 1) return answer_moments(answers, e, policy, theta, {}).mean;
  return class_moments(classes_of(answers, name, policy, theta), name, world.T).mean;
}

/// A function of theta and phi whose gradient in theta is E g where phi = theta, so that its second
/// derivatives are the field's first.
using Potential = std::function<Var<double>(const std::vector<Var<double>>& theta_phi)>;

/// What every answer is made of: its rows, and its class, which is its reward and its length.
struct Book {
  Answers answers;
  Array<double> rows_of;      // [N x rows], 1 where the row is the answer's
  std::vector<int> first_of;  // [C], an answer of each class
  Array<double> members;      // [N x C]
};
Book book_of(const World& world, const PolicyChoice& pi) {
  Book out{visit_answers(world, pi.policy, pi.theta, {.reference = true}), {}, {}, {}};
  const Answers& all = out.answers;
  out.rows_of = zeros<double>(all.size(), all.batch.rows());
  std::map<std::pair<double, int>, std::vector<int>> classes;
  for (int i = 0; i < all.size(); ++i) {
    for (int r = all.batch.begin(i); r < all.batch.end(i); ++r) out.rows_of(i, r) = 1;
    classes[{all.R[static_cast<std::size_t>(i)], all.batch.length(i)}].push_back(i);
  }
  out.members = zeros<double>(all.size(), static_cast<int>(classes.size()));
  for (const auto& [key, of] : classes) {
    for (const int i : of) out.members(i, static_cast<int>(out.first_of.size())) = 1;
    out.first_of.push_back(of.front());
  }
  return out;
}

/// log pi of every row, [rows x 1].
Var<double> log_rows(const Book& book, const Policy& policy, const Var<double>& theta) {
  const Trajectories& b = book.answers.batch;
  return log_prob(policy(std::vector{theta}, b.state, Var<double>()), Actions<double>{b.action, {}});
}

/// E g = sum_c H_c grad log P_c: H_c sums, over counts n of a group's classes, their probability, a
/// polynomial in P, times what the estimator's own code gives the answers of class c.
Potential of_groups(const Book& book, const std::string& name, const Policy& policy) {
  const int C = static_cast<int>(book.first_of.size());
  Answers one_of_each;  // of probability one: a group's is the number of its orders
  for (const int i : book.first_of) {
    const Answers one{book.answers.part(i, i + 1), {}, {}, {}, {}};
    Trajectories& to = one_of_each.batch;
    to.state.insert(to.state.end(), one.batch.state.begin(), one.batch.state.end());
    to.action.insert(to.action.end(), one.batch.action.begin(), one.batch.action.end());
    to.reward.insert(to.reward.end(), one.batch.reward.begin(), one.batch.reward.end());
    to.log_mu.insert(to.log_mu.end(), one.batch.log_mu.begin(), one.batch.log_mu.end());
    to.final_state.push_back(one.batch.final_state[0]);
    to.terminated.push_back(one.batch.terminated[0]), to.truncated.push_back(one.batch.truncated[0]);
    to.offset.push_back(side(to.state.size()));
    to.longest = one.batch.longest;
    one_of_each.probability.push_back(1), one_of_each.of_prompt.push_back(1);
    one_of_each.prompt.push_back(0);
    one_of_each.R.push_back(book.answers.R[static_cast<std::size_t>(i)]);
  }
  Array<double> mark = zeros<double>(one_of_each.batch.rows(), C);  // of the first row of each
  for (int c = 0; c < C; ++c) mark(one_of_each.batch.begin(c), c) = 1;
  const Estimator e = make_estimator(name);
  Estimator counting = e;
  counting.weights = [](const Trajectories& b, const Constants&) { return full<double>(b.rows(), 1, 1.0); };
  std::vector<double> log_orders, counts, coefficients;
  const auto visit = [&](const Estimator& estimator, const VisitGroup& f) {
    for_each_group(one_of_each, estimator, mark, one_of_each.batch.log_mu, {}, f);
  };
  visit(counting, [&](double orders, std::span<const double> g) {
    log_orders.push_back(std::log(orders));
    for (const double x : g) counts.push_back(e.unit * x);
  });
  visit(e, [&](double, std::span<const double> g) {
    coefficients.insert(coefficients.end(), g.begin(), g.end());
  });
  const int n = side(log_orders.size());
  return [=, &book, &policy, redrawn = e.draws_again, log_orders = from_values<double>(1, n, log_orders),
          counts = from_values<double>(n, C, counts),
          coefficients = from_values<double>(n, C, coefficients)](const std::vector<Var<double>>& theta_phi) {
    const auto log_classes = [&](const Var<double>& theta) {  // [1 x C]
      const Var<double> log_y = matmul(book.rows_of, log_rows(book, policy, theta));
      return log(matmul_tn(exp(log_y), book.members));
    };
    const Var<double> P = exp(matmul_nt(log_classes(theta_phi[1]), counts) + log_orders);  // [1 x n]
    const Var<double> all = sum(matmul(P, coefficients) * log_classes(theta_phi[0]));
    return redrawn ? all / sum(P) : all;
  };
}

/// E g = E sum_t k_t z_t.
Potential of_kl(const Book& book, const std::string& name, const Policy& policy) {
  const Trajectories& b = book.answers.batch;
  Array<double> log_ref = zeros<double>(b.rows(), 1), after = zeros<double>(b.rows(), b.rows());
  for (int r = 0; r < b.rows(); ++r)
    log_ref(r, 0) = b.log_reference(r, b.action[static_cast<std::size_t>(r)]);
  for (int i = 0; i < b.size(); ++i)
    for (int r = b.begin(i); r < b.end(i); ++r)
      for (int k = r; k < b.end(i); ++k) after(r, k) = 1;
  return [=, &book, &policy](const std::vector<Var<double>>& theta_phi) {
    const Var<double> log_pi = log_rows(book, policy, theta_phi[1]), d = log_pi - log_ref;
    const auto whole = [&](const Var<double>& x) { return matmul_tn(book.rows_of, matmul(book.rows_of, x)); };
    const Var<double> k = name == "kl:k1-reward"          ? whole(d)
                          : name == "kl:k3-loss-sequence" ? 1 - exp(-whole(d))
                          : name == "kl:k2-loss"          ? d
                          : name == "kl:k3-loss"          ? 1 - exp(-d)
                                                          : matmul(after, exp(-d) - 1 + d);
    return sum(exp(whole(log_pi)) * k * log_rows(book, policy, theta_phi[0]));
  };
}

Potential potential(const Book& book, const std::string& name, const Policy& policy) {
  return of_divergence(name) ? of_kl(book, name, policy) : of_groups(book, name, policy);
}

/// The derivative of E g along a direction, by second derivatives.
std::vector<double> derivative(const Potential& L, const Array<double>& theta, const Array<double>& along) {
  const auto of = hvp(L, std::vector<Array<double>>{theta, theta}, {along, along}).front();
  return {of.begin(), of.end()};
}

/// Asymmetry of a Jacobian J [d x d], by columns.
struct Asymmetry {
  double curl;  // |J - J'| / 2
  double norm;  // |J|
};
Asymmetry asymmetry(const std::vector<std::vector<double>>& J) {
  double off = 0, all = 0;
  for (std::size_t i = 0; i < J.size(); ++i)
    for (std::size_t j = 0; j < J.size(); ++j)
      off += std::pow(J[i][j] - J[j][i], 2), all += J[i][j] * J[i][j];
  return {std::sqrt(off) / 2, std::sqrt(all)};
}

/// Of (1 - 1/G) (grad E[r/l] - p grad E[1/l]), what dividing by lengths alone has for E g: grad p and
/// grad E[1/l] are all that turns it.
double curl_of_lengths(const World& world, const PolicyChoice& pi, int G) {
  const Answers answers = visit_answers(world, pi.policy, pi.theta);
  const Array<double> z = row_scores(answers, pi.policy, pi.theta);
  std::vector<double> of_p(z.shape(1)), of_inverse(z.shape(1));
  for (int i = 0; i < answers.size(); ++i)
    for (int r = answers.batch.begin(i); r < answers.batch.end(i); ++r)
      for (std::size_t j = 0; j < of_p.size(); ++j) {
        const double p = answers.probability[static_cast<std::size_t>(i)] * z(static_cast<std::size_t>(r), j);
        of_p[j] += p * answers.R[static_cast<std::size_t>(i)];
        of_inverse[j] += p / answers.batch.length(i);
      }
  const double cross = dot(of_p, of_inverse);
  return (1 - 1.0 / G) * std::sqrt((dot(of_p, of_p) * dot(of_inverse, of_inverse) - cross * cross) / 2);
}

/// The slice through the policy's logits: of `a` at the start, and of the end after b.
struct Slice {
  std::size_t x = 1, y = 6;  // in the tied logits, row-major
  Parameters at(Parameters theta, double dx, double dy) const {
    theta[0].data()[x] += dx, theta[0].data()[y] += dy;
    return theta;
  }
};

}  // namespace

Reproduction run_update_is_a_gradient(Effort effort, bool check, const std::filesystem::path& out) {
  const int grid = static_cast<int>(choose(effort, 9, 41, 81)), angles = 24,
            points = static_cast<int>(choose(effort, 50, 1000, 6000));
  OutputDirectory directory(out, {{"figure", "update-is-a-gradient"}, {"grid", grid}, {"points", points}});
  std::string text;
  Csv csv({"part", "policy",       "update",           "label", "gradient",
           "norm", "asymmetry",    "asymmetry_engine", "curl",  "curl_formula",
           "work", "work_by_curl", "work_abs",         "x",     "y",
           "F_x",  "F_y",          "curl_xy",          "J",     "cosine"});
  const World world = make_world("seq-31", {}, {});
  const PolicyChoice tied = make_policy(world, "kappa:0"), prefix = by_prefix(world, tied);
  const Slice slice;
  Parts parts(directory);

  for (const bool own_rows : {false, true})
    for (const Update& update : updates)
      parts(csv, text, [&] {
        const PolicyChoice& pi = own_rows ? prefix : tied;
        const std::string name = update.name;
        const Book book = book_of(world, pi);
        const Potential L = potential(book, name, pi.policy);
        const std::size_t d = pi.theta[0].size();
        std::vector<std::vector<double>> numeric(d), engine(d);
        for (std::size_t j = 0; j < d; ++j) {
          Parameters up = pi.theta, down = pi.theta;
          up[0].data()[j] += h, down[0].data()[j] -= h;
          const auto a = field(world, name, pi.policy, up), b = field(world, name, pi.policy, down);
          for (std::size_t k = 0; k < d; ++k) numeric[j].push_back((a[k] - b[k]) / (2 * h));
          Array<double> along = zeros_like(pi.theta[0]);
          along.data()[j] = 1;
          engine[j] = derivative(L, pi.theta[0], along);
        }
        const Asymmetry by_differences = asymmetry(numeric), by_engine = asymmetry(engine);
        double work = NAN, work_abs = NAN, by_curl = NAN;
        if (!own_rows) {
          work = work_abs = by_curl = 0;
          for (int k = 0; k < around; ++k) {
            const double angle = 2 * std::numbers::pi * k / around, c = std::cos(angle), s = std::sin(angle);
            const auto F = field(world, name, pi.policy, slice.at(pi.theta, c, s));
            const double step = (c * F[slice.y] - s * F[slice.x]) * 2 * std::numbers::pi / around;
            work += step, work_abs += std::abs(step);
          }
          Array<double> along_x = zeros_like(pi.theta[0]), along_y = along_x;
          along_x.data()[slice.x] = along_y.data()[slice.y] = 1;
          for (const auto& [node, weight] : gauss_legendre())
            for (int k = 0; k < angles; ++k) {
              const double r = (1 + node) / 2, angle = 2 * std::numbers::pi * k / angles;
              const Array<double> theta = slice.at(pi.theta, r * std::cos(angle), r * std::sin(angle))[0];
              by_curl += weight / 2 * r * 2 * std::numbers::pi / angles *
                         (derivative(L, theta, along_x)[slice.y] - derivative(L, theta, along_y)[slice.x]);
            }
        }
        csv.add_some({{"part", "updates"},
                      {"policy", own_rows ? "prefix" : "tied"},
                      {"update", name},
                      {"label", update.label},
                      {"gradient", update.gradient ? "yes" : "no"},
                      {"norm", by_differences.norm},
                      {"asymmetry", by_differences.curl / by_differences.norm},
                      {"asymmetry_engine", by_engine.curl / by_engine.norm},
                      {"curl", by_engine.curl},
                      {"curl_formula", name == "mean:4+seq-mean" ? curl_of_lengths(world, pi, 4) : NAN},
                      {"work", work},
                      {"work_by_curl", by_curl},
                      {"work_abs", work_abs}});
        if (!own_rows)
          text += fmt::format(
              "{:<28} asymmetry {:.2e}, by the engine {:.2e}; work {:+.3e}, by curl {:+.3e}\n", update.label,
              by_differences.curl / by_differences.norm, by_engine.curl / by_engine.norm, work, by_curl);
      });

  for (const std::string name : {"rloo:4", "grpo:4+seq-mean"})
    parts(csv, text, [&] {
      const Book book = book_of(world, tied);
      const Potential L = potential(book, name, tied.policy);
      Array<double> along_x = zeros_like(tied.theta[0]), along_y = along_x;
      along_x.data()[slice.x] = along_y.data()[slice.y] = 1;
      for (const auto& [part, n, side] : {std::tuple{"map", grid, 2.0}, {"arrows", 10, 1.8}})
        for (int i = 0; i < n; ++i)
          for (int k = 0; k < n; ++k) {
            const double x = side * (2.0 * i / (n - 1) - 1), y = side * (2.0 * k / (n - 1) - 1);
            const Array<double> theta = slice.at(tied.theta, x, y)[0];
            const auto F = grad(L, std::vector<Array<double>>{theta, theta}).front();
            csv.add_some({{"part", part},
                          {"policy", "tied"},
                          {"update", name},
                          {"x", x},
                          {"y", y},
                          {"F_x", F.data()[slice.x]},
                          {"F_y", F.data()[slice.y]},
                          {"curl_formula", name == "rloo:4" ? 0 : NAN},
                          {"curl_xy",
                           derivative(L, theta, along_x)[slice.y] - derivative(L, theta, along_y)[slice.x]}});
          }
    });

  // It climbs all the same: J along GRPO's expected flow, by steps of one length, and its angle to the
  // gradient elsewhere.
  parts(csv, text, [&] {
    const std::string name = "grpo:4+seq-mean";
    constexpr double step = 0.05;
    Parameters theta = tied.theta;
    double J = exact_return(world, tied.policy, theta), least = INFINITY;
    for (int k = 0; k < 2000 && J < 0.999; ++k) {
      const auto F = field(world, name, tied.policy, theta);
      const double norm = std::sqrt(dot(F, F));
      for (std::size_t j = 0; j < F.size(); ++j) theta[0].data()[j] += step * F[j] / norm;
      const double now = exact_return(world, tied.policy, theta);
      least = std::min(least, now - J);
      J = now;
    }
    csv.add_some({{"part", "flow end"}, {"policy", "tied"}, {"update", name}, {"J", J}});
    csv.add_some({{"part", "least step"}, {"policy", "tied"}, {"update", name}, {"J", least}});
    double worst = 1;
    for (int k = 0; k < points; ++k) {
      Rng rng(seed, "points", static_cast<std::uint32_t>(k));
      for (double& each : values(theta[0])) each = rng.normal();
      const auto F = field(world, name, tied.policy, theta),
                 gradient = field(world, "rloo:2", tied.policy, theta);
      worst = std::min(worst, dot(F, gradient) / std::sqrt(dot(F, F) * dot(gradient, gradient)));
    }
    csv.add_some({{"part", "points"}, {"policy", "tied"}, {"update", name}, {"cosine", worst}});
    text += fmt::format(
        "GRPO's flow ends at J = {:.4f}, each step up by {:.2e} or more; cosine to the gradient at "
        "{} random points {:.3f} or more\n",
        J, least, points, worst);
  });
  return publish("update-is-a-gradient", directory, csv, check, std::move(text));
}

}  // namespace lowvar
