// What rounding logits does to a policy: pi of float32 logits N(0, s^2), mu of the same logits in a format
// with fewer digits, as where one program samples and another computes gradients. KL(mu || pi) and the total
// variation of a token against the digits; BF16 has 8, FP16 11. Beside it, what such a divergence would bias
// in LONG-L, if all of it pointed along the reward.
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "algorithms/exact/bandit.h"
#include "algorithms/exact/counting.h"
#include "core/parallel.h"
#include "core/random.h"
#include "core/short_floats.h"
#include "experiments/figures/figures.h"

namespace lowvar {
namespace {

constexpr std::uint64_t seed = 0;
constexpr struct {
  const char* name;
  int V;
  double sd;
} vocabularies[] = {{"8", 8, 2}, {"64", 64, 3}, {"1024", 1024, 3}};
struct Named {
  const char* name;
  FloatFormat format;
};
/// Digits alone, and the two formats that models are run in.
std::vector<Named> formats() {
  std::vector<Named> out = {{"BF16", bfloat16}, {"FP16", binary16}};
  for (int digits = 5; digits <= 14; ++digits) out.push_back({"", {digits, -126, 127}});
  return out;
}
constexpr int shards = 64;

struct Distance {
  double KL, TV;
};
Distance distance(const std::vector<double>& mu, const std::vector<double>& pi) {
  Distance out{0, 0};
  for (std::size_t a = 0; a < mu.size(); ++a) {
    out.KL += mu[a] * std::log(mu[a] / pi[a]);
    out.TV += std::abs(mu[a] - pi[a]) / 2;
  }
  return out;
}

struct Sums {
  std::vector<double> KL, TV, KL_sq, TV_sq;  // [formats]

  template <class F>
  void visit(F&& f) {
    f("KL", KL), f("TV", TV), f("KL_sq", KL_sq), f("TV_sq", TV_sq);
  }
};

/// Sums over `draws` policies of one shard.
Sums shard(int V, double sd, long draws, const std::vector<Named>& all, Rng rng) {
  Sums out;
  for (auto* x : {&out.KL, &out.TV, &out.KL_sq, &out.TV_sq}) x->resize(all.size());
  std::vector<double> logits(static_cast<std::size_t>(V)), short_logits(logits.size());
  for (long i = 0; i < draws; ++i) {
    for (double& x : logits) x = static_cast<float>(sd * rng.normal());
    const std::vector<double> pi = softmax(logits);
    for (std::size_t k = 0; k < all.size(); ++k) {
      for (std::size_t a = 0; a < logits.size(); ++a) short_logits[a] = rounded(logits[a], all[k].format);
      const Distance d = distance(softmax(short_logits), pi);
      out.KL[k] += d.KL, out.TV[k] += d.TV, out.KL_sq[k] += d.KL * d.KL, out.TV_sq[k] += d.TV * d.TV;
    }
  }
  return out;
}

}  // namespace

Reproduction run_rounding(Effort effort, bool check, const std::filesystem::path& out) {
  const long numbers = choose(effort, 160'000, 3'200'000, 40'000'000);  // logits of a vocabulary
  OutputDirectory directory(out, {{"figure", "rounding"}, {"seed", seed}, {"numbers", numbers}});
  std::string text;
  Csv csv({"part", "vocabulary", "sd", "format", "digits", "n", "KL", "KL_se", "TV", "TV_se", "KL_ratio",
           "TV_ratio", "L", "kappa", "bias", "bias_limit"});
  const std::vector<Named> all = formats();
  double per_token = NAN;  // of BF16, the largest vocabulary
  for (const auto& [name, V, sd] : vocabularies) {
    const long draws = std::max<long>(1, numbers / V / shards), n = draws * shards;
    Sums total;
    ordered_reduce(
        shards,
        [&](int i) {
          return shard(V, sd, draws, all,
                       Rng(seed, fmt::format("rounding {}", V), static_cast<std::uint32_t>(i)));
        },
        [&](int i, const Sums& s) {
          if (i == 0)
            total = s;
          else
            for (const auto& [to, from] : {std::pair{&total.KL, &s.KL},
                                           {&total.TV, &s.TV},
                                           {&total.KL_sq, &s.KL_sq},
                                           {&total.TV_sq, &s.TV_sq}})
              for (std::size_t k = 0; k < to->size(); ++k) (*to)[k] += (*from)[k];
        });
    const auto count = static_cast<double>(n);
    for (std::size_t k = 0; k < all.size(); ++k) {
      const auto se = [&](double sum, double squares) {
        return std::sqrt((squares / count - sum * sum / (count * count)) / (count - 1));
      };
      csv.add_some({{"part", "format"},
                    {"vocabulary", name},
                    {"sd", sd},
                    {"format", all[k].name},
                    {"digits", all[k].format.digits},
                    {"n", n},
                    {"KL", total.KL[k] / count},
                    {"KL_se", se(total.KL[k], total.KL_sq[k])},
                    {"TV", total.TV[k] / count},
                    {"TV_se", se(total.TV[k], total.TV_sq[k])}});
    }
    csv.add_some({{"part", "ratio"},
                  {"vocabulary", name},
                  {"sd", sd},
                  {"n", n},
                  {"KL_ratio", total.KL[0] / total.KL[1]},
                  {"TV_ratio", total.TV[0] / total.TV[1]}});
    text += fmt::format(
        "{:>4} tokens: KL {:.4g} in BF16, {:.4g} in FP16, {:.2f} times; TV {:.4g}, {:.4g}, {:.3f} times\n", V,
        total.KL[0] / count, total.KL[1] / count, total.KL[0] / total.KL[1], total.TV[0] / count,
        total.TV[1] / count, total.TV[0] / total.TV[1]);
    per_token = total.KL[0] / count;
  }
  // LONG-L: iid binary tokens whose probability of a one differs by so much between mu and pi that KL(mu ||
  // pi) of a token is the largest vocabulary's in BF16; relative bias of the gradient without any correction,
  // b = E_mu r.
  const double delta = std::sqrt(per_token / 2);
  for (int L = 16; L <= 65'536; L *= 2) {
    const BinaryAnswers answers{L, static_cast<int>(std::ceil(L * (0.5 + delta) + std::sqrt(L) / 4)),
                                0.5 + delta, 0.5};
    const double kappa = answers.divergence(), s = std::sqrt(2 * kappa);
    csv.add_some(
        {{"part", "long"},
         {"L", L},
         {"kappa", kappa},
         {"bias",
          counted_moments(answers, "reinforce+is-none", answers.right(0.5)).mean / answers.gradient() - 1},
         {"bias_limit", std::exp(-s / 2 - s * s / 2) - 1}});
  }
  return publish("rounding", directory, csv, check, std::move(text));
}

}  // namespace lowvar
