// Times the three chains of chains.h, each by the engine, by hand and by LibTorch in turn, on one thread:
// bench_chains [ROWS [SECONDS]]. Prints a line for each and adds it to the file ROWS as a line of JSON. Every
// answer is compared before it is timed.
#include "bench/chains.h"

#include <omp.h>

#include <cstdlib>

#include "bench/interleave.h"
#include "bench/report.h"

#if LOWVAR_WITH_LIBTORCH
#include "bench/chains_libtorch.h"
#endif

namespace lowvar {
namespace {

template <class Chain>
float by_engine(const Chain& chain, FloatArrays& gradient) {
  Tape<float> tape;
  const auto parameters = tape.parameters(borrow(chain.parameters));
  const Var<float> loss = chain.loss(tape, parameters);
  grad_into(gradient, loss, parameters);
  return loss.item();
}

void must_agree_with_hand(const std::string& what, float value, const FloatArrays& gradient, float right,
                          const FloatArrays& right_gradient) {
  constexpr double tolerance = 1e-5, of_value = 1e-5;
  using Numbers = std::vector<double>;
  must_agree((what + " and the loop by hand, value").c_str(), Numbers{value}, Numbers{right}, of_value);
  for (std::size_t k = 0; k < gradient.size(); ++k)
    must_agree(join(what, " and the loop by hand, gradient ", k).c_str(),
               Numbers(gradient[k].begin(), gradient[k].end()),
               Numbers(right_gradient[k].begin(), right_gradient[k].end()), tolerance);
}

template <class Chain>
void time_chain(double seconds, Report& report) {
  const Chain chain(Rng(0, Chain::name));
  FloatArrays engine, hand;
  for (const auto& each : chain.parameters)
    engine.push_back(zeros_like(each)), hand.push_back(zeros_like(each));
  const float value = chain.by_hand(hand);
  const std::string name = Chain::name;
  must_agree_with_hand(name + ": the engine", by_engine(chain, engine), engine, value, hand);
  std::vector<Way> ways{{"ours", [&] { by_engine(chain, engine); }}, {"hand", [&] { chain.by_hand(hand); }}};
#if LOWVAR_WITH_LIBTORCH
  LibTorchChain torch(chain);
  const float of_torch = torch();
  must_agree_with_hand(name + ": LibTorch", of_torch, torch.gradient(), value, hand);
  ways.push_back({"libtorch", [&] { torch(); }});
#endif
  const auto t = interleave(ways, seconds, Clock::thread);
  std::vector<std::pair<std::string, double>> ratios{{"ours/hand", t[0].median_us / t[1].median_us}};
  if (t.size() > 2) ratios.push_back({"libtorch/ours", t[2].median_us / t[0].median_us});
  report.add(join("chain/", name, "/f32/", shape(chain.parameters[0]), "/t1"), t, ratios);
}

int run(int argc, char** argv) {
  if (argc > 3) {
    std::fprintf(stderr, "usage: bench_chains [ROWS [SECONDS]]\n");
    return 2;
  }
  Report report(argc > 1 ? argv[1] : nullptr);
  const double seconds = argc > 2 ? std::atof(argv[2]) : 2;
  omp_set_num_threads(1);
#if LOWVAR_WITH_LIBTORCH
  LibTorchChain::use_one_thread();
#endif
  std::printf("# chains: g++ %s, LibTorch %s\n", __VERSION__, LOWVAR_WITH_LIBTORCH ? "yes" : "no");
  std::printf("# ours/hand is to be at most 2, libtorch/ours at least 1\n");
  time_chain<SquashedGaussian>(seconds, report);
  time_chain<QuantileHuber>(seconds, report);
  time_chain<Dapo>(seconds, report);
  return 0;
}

}  // namespace
}  // namespace lowvar

int main(int argc, char** argv) {
  try {
    return lowvar::run(argc, argv);
  } catch (const lowvar::Error& e) {
    std::fprintf(stderr, "bench_chains: %s\n", e.what());
    return 2;
  }
}
