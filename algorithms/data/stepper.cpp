#include "algorithms/data/stepper.h"

#include <cstring>

#include "core/parallel.h"

namespace lowvar {
namespace {

Observations unseen(int n, const Spaces& spaces) {
  switch (spaces.observed) {
    case Spaces::Number::float32:
      return zeros<float>(n, spaces.observation);
    case Spaces::Number::float64:
      return zeros<double>(n, spaces.observation);
    default:
      return zeros<std::uint8_t>(n, spaces.observation);
  }
}

/// Row r of x, to be written.
ObservationRows row_of(Observations& x, int r) {
  if (auto* const f = x.get<float>()) return row(*f, r).data();
  if (auto* const d = x.get<double>()) return row(*d, r).data();
  return row(*x.get<std::uint8_t>(), r).data();
}

template <class X>
X take(std::span<const std::byte>& bytes) {
  expect(bytes.size() >= sizeof(X), "the copies of a world were saved in more bytes than these");
  X x;
  std::memcpy(&x, bytes.data(), sizeof x);
  bytes = bytes.subspan(sizeof x);
  return x;
}

}  // namespace

Stepper::Stepper(std::unique_ptr<States> states, int T, std::uint64_t seed, std::string_view stream,
                 int first)
    : states_(std::move(states)),
      T_(static_cast<std::uint32_t>(T)),
      first_(static_cast<std::uint32_t>(first)),
      stream_(seed, stream) {
  expect(T >= 1, "the time limit must be at least 1 step, got ", T);
  const auto n = static_cast<std::size_t>(size());
  t_.resize(n);
  episode_.resize(n);
  reward_.resize(n);
  terminated_.resize(n);
  truncated_.resize(n);
  observation_ = final_observation_ = unseen(size(), states_->spaces());
  for (int i = 0; i < size(); ++i) start(i);
  states_->observe(0, size(), row_of(observation_, 0));
}

void Stepper::step(std::span<const int> choices, const Array<double>& vectors) {
  const auto m = static_cast<std::size_t>(states_->spaces().m), n = static_cast<std::size_t>(size());
  if (m == 0)
    expect(choices.size() == n, "needs ", n, " actions, one an environment, got ", choices.size());
  else
    expect(vectors.shape(0) == n && vectors.shape(1) == m, "needs actions [", n, " x ", m, "], got ",
           text(shape(vectors)));
  const int block = states_->at_once();
  parallel_for((size() + block - 1) / block, [&](int b) {
    const int begin = b * block, end = std::min(begin + block, size());
    const auto k = static_cast<std::size_t>(begin);
    std::uint32_t next[States::block];  // the step that comes
    for (int i = begin; i < end; ++i) next[i - begin] = t_[static_cast<std::size_t>(i)] + 1;
    states_->act(begin, end, {m ? nullptr : choices.data() + k, m ? vectors.data() + k * m : nullptr},
                 {.stream = &stream_,
                  .first = first_ + static_cast<std::uint32_t>(begin),
                  .episode = episode_.data() + k,
                  .step = next},
                 reward_.data() + k, terminated_.data() + k);
    end_episodes(begin, end);
    states_->observe(begin, end, row_of(observation_, begin));
  });
}

void Stepper::end_episodes(int begin, int end) {
  for (int i = begin; i < end; ++i) {
    const auto k = static_cast<std::size_t>(i);
    truncated_[k] = ++t_[k] == T_;
    if (!terminated_[k] && !truncated_[k]) [[likely]]
      continue;
    states_->observe(i, i + 1, row_of(final_observation_, i));
    t_[k] = 0;
    ++episode_[k];
    start(i);
  }
}

/// Begins the episode of copy i.
void Stepper::start(int i) {
  constexpr int most = 1'000'000;
  Rng rng = stream_.of(first_ + static_cast<std::uint32_t>(i), episode_[static_cast<std::size_t>(i)]);
  for (int draws = 0; draws < most; ++draws) {
    states_->reset(i, rng);
    if (!states_->terminal(i)) return;
  }
  throw Error(
      join("every one of ", most,
           " starts drawn was terminal: a world to step in needs a start from which an action leads"));
}

std::vector<std::byte> Stepper::save() const {
  std::vector<std::byte> out, state;
  for (int i = 0; i < size(); ++i) {
    const auto k = static_cast<std::size_t>(i);
    state.clear();
    states_->save(i, state);
    detail::append(t_[k], out);
    detail::append(episode_[k], out);
    detail::append(static_cast<std::uint64_t>(state.size()), out);
    out.insert(out.end(), state.begin(), state.end());
  }
  return out;
}

void Stepper::restore(std::span<const std::byte> bytes) {
  struct Place {
    std::uint32_t t, episode;
    std::span<const std::byte> state;
  };
  std::vector<Place> places;
  for (int i = 0; i < size(); ++i) {
    const auto t = take<std::uint32_t>(bytes), episode = take<std::uint32_t>(bytes);
    const auto length = take<std::uint64_t>(bytes);
    expect(length <= bytes.size(), "the copies of a world were saved in more bytes than these");
    expect(t < T_, "a copy of a world was saved after ", t, " steps, and its episodes have at most ", T_);
    places.push_back({t, episode, bytes.first(length)});
    bytes = bytes.subspan(length);
  }
  expect(bytes.empty(), "these are the bytes of more than ", size(), " copies of a world: ", bytes.size(),
         " are left over");
  for (int i = 0; i < size(); ++i) {
    const auto k = static_cast<std::size_t>(i);
    states_->restore(i, places[k].state);
    t_[k] = places[k].t;
    episode_[k] = places[k].episode;
    reward_[k] = terminated_[k] = truncated_[k] = 0;
  }
  states_->observe(0, size(), row_of(observation_, 0));
}

}  // namespace lowvar
