// From a page to an algorithm. A page has options O with `visit`, and
//   void check(const O&, const World&)                                            throws Error
//   long first_batch(const O&, const World&)                                      steps before anything is
//   learnt std::unique_ptr<Run> start(const O&, const World&, long steps, std::uint64_t seed)
// and algorithm_of(O) is the Algorithm.
#pragma once

#include <memory>
#include <utility>

#include "algorithms/train/training.h"

namespace lowvar {

namespace detail {

// Calls of what a page has, from a class whose members have the same names.
template <class O>
void page_check(const O& o, const World& world) {
  check(o, world);
}
template <class O>
std::unique_ptr<Run> page_start(const O& o, const World& world, long steps, std::uint64_t seed) {
  return start(o, world, steps, seed);
}

}  // namespace detail

template <class O>
class AlgorithmOf final : public Algorithm {
 public:
  explicit AlgorithmOf(O options) : o_(std::move(options)) {}
  std::unique_ptr<Algorithm> clone() const override { return std::make_unique<AlgorithmOf>(o_); }
  void visit(const std::function<void(const char*, OptionRef)>& f) override {
    o_.visit([&](const char* name, auto& x) { f(name, option_ref(x)); });
  }
  void check(const World& world, long steps) const override {
    detail::page_check(o_, world);
    const long needed = first_batch(o_, world);
    expect(steps >= needed, "steps, ", steps, ", are fewer than the ", needed,
           " before anything is learnt with these options");
  }
  double gamma() const override {
    if constexpr (requires { o_.batch.gamma; })
      return o_.batch.gamma;
    else
      return o_.gamma;
  }
  int threads() const override {
    if constexpr (requires { o_.workers; })
      return o_.workers;
    else
      return 1;
  }
  std::unique_ptr<Run> start(const World& world, long steps, std::uint64_t seed) const override {
    check(world, steps);
    return detail::page_start(o_, world, steps, seed);
  }

 private:
  O o_;
};

template <class O>
std::unique_ptr<Algorithm> algorithm_of(O options) {
  return std::make_unique<AlgorithmOf<O>>(std::move(options));
}

}  // namespace lowvar
