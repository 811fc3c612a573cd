#include "experiments/training_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "core/processes.h"
#include "core/store.h"

namespace lowvar {
namespace {

constexpr std::size_t window = 100;  // episodes in a mean
constexpr int lines = 200;           // of progress a seed, about

}  // namespace

Csv progress_table() {
  return Csv({"seed", "update", "step", "episodes", "return", "entropy", "kl", "clip_fraction",
              "explained_variance", "value_loss", "gradient_norm", "gradient_snr", "learning_rate"});
}
Csv episode_table() { return Csv({"seed", "step", "return", "length"}); }

// ---- Diary ----

Diary::Diary(std::uint64_t seed, long steps) : seed_(seed), every_(std::max(1L, steps / lines)) {}

double Diary::mean() const {
  return recent_.empty() ? std::nan("") : sum_ / static_cast<double>(recent_.size());
}

void Diary::saw(const Episode& e) {
  recent_.push_back(e.total);
  sum_ += e.total;
  if (recent_.size() > window) sum_ -= recent_.front(), recent_.erase(recent_.begin());
  ++count_;
  if (recent_.size() == window) best_ = std::isnan(best_) ? mean() : std::max(best_, mean());
  episodes_.add({{"seed", seed_}, {"step", e.at}, {"return", e.total}, {"length", e.length}});
}

bool Diary::saw(const UpdateReport& u) {
  step_ = u.step;
  if (u.step < next_ && u.update > 0) return false;
  next_ = u.step + every_;
  progress_.add({{"seed", seed_},
                 {"update", u.update},
                 {"step", u.step},
                 {"episodes", count_},
                 {"return", mean()},
                 {"entropy", u.entropy},
                 {"kl", u.kl},
                 {"clip_fraction", u.clip_fraction},
                 {"explained_variance", u.explained_variance},
                 {"value_loss", u.value_loss},
                 {"gradient_norm", u.gradient_norm},
                 {"gradient_snr", u.gradient_snr},
                 {"learning_rate", u.learning_rate}});
  return true;
}

// ---- TrainingLog ----

/// What there is to write of a seed since it last told something.
struct TrainingLog::Told {
  int seed = 0;
  std::string progress = {}, episodes = {};
  std::optional<KeptSeed> kept = {};
  long update = 0;  // that it stands before, where it is kept
  std::optional<Ending> ending = {};

  template <class F>
  void visit(F&& f) {
    f("seed", seed), f("progress", progress), f("episodes", episodes), f("kept", kept), f("update", update);
    f("ending", ending);
  }
};

TrainingLog::TrainingLog(
    const std::vector<std::uint64_t>& seeds, long steps, OutputDirectory& directory,
    const std::function<void(std::uint64_t seed, const std::vector<std::byte>& learner)>& try_learner)
    : seeds_(seeds),
      directory_(directory),
      dealt_(seeds.size() > 1 && ranks() > 1),
      kept_(seeds.size()),
      endings_(seeds.size()),
      told_(seeds.size()) {
  std::string progress = progress_table().text(), episodes = episode_table().text();
  for (int i = 0; root() && i < static_cast<int>(seeds.size()); ++i) {
    KeptSeed kept{{}, Diary(seeds[at(i)], steps)};
    const auto take = [&](const Sections& sections) {
      restore_from(section(sections, "diary"), kept.diary);
      kept.learner = section(sections, "learner");
      try_learner(seeds[at(i)], kept.learner);
    };
    if (!directory.checkpoints().newest(name(i), take)) continue;
    progress += kept.diary.progress(), episodes += kept.diary.episodes();
    kept_[at(i)] = std::move(kept);
  }
  share();
  for (std::size_t i = 0; i < kept_.size(); ++i)
    if (kept_[i]) told_[i] = {kept_[i]->diary.progress().size(), kept_[i]->diary.episodes().size()};
  if (!root()) return;
  directory.adopt("progress.csv"), directory.adopt("episodes.csv");
  progress_.emplace(directory.path() / "progress.csv", progress);
  episodes_.emplace(directory.path() / "episodes.csv", episodes);
}

std::string TrainingLog::name(int i) const { return fmt::format("seed-{}", seeds_[at(i)]); }

TrainingLog::Told TrainingLog::news(int i, const Diary& diary) {
  auto& [progress, episodes] = told_[at(i)];
  Told out{.seed = i,
           .progress = std::string(diary.progress().substr(progress)),
           .episodes = std::string(diary.episodes().substr(episodes))};
  progress = diary.progress().size(), episodes = diary.episodes().size();
  return out;
}

void TrainingLog::tell(int i, const Diary& diary) { send(news(i, diary)); }

/// And the seed itself, to go on from.
TrainingLog::Told TrainingLog::standing(int i, const Diary& diary, const Run& run) {
  Told out = news(i, diary);
  out.kept = KeptSeed{run.store(), diary};
  out.update = run.updates();
  return out;
}

void TrainingLog::keep(int i, const Diary& diary, const Run& run) { send(standing(i, diary, run)); }

void TrainingLog::end(int i, const Diary& diary, const Run& run, const Ending& ending) {
  Told told = standing(i, diary, run);
  told.ending = ending;
  send(told);
}

void TrainingLog::fail(int i, const Diary& diary, const std::string& fault) {
  Told told = news(i, diary);
  told.ending = Ending{.fault = fault};
  send(told);
}

void TrainingLog::send(const Told& told) {
  const std::lock_guard lock(mutex_);
  if (dealt_ && !root()) return send_to_root(stored(told));
  expect(!failed_, "the results of ", directory_.path().string(), " cannot be written");
  failed_ = true;
  write_down(told);
  read_letters();
  failed_ = false;
}

void TrainingLog::write_down(const Told& told) {
  if (root()) {
    progress_->append(told.progress);
    episodes_->append(told.episodes);
    if (told.kept) {
      const std::vector<std::byte> diary = stored(told.kept->diary);
      progress_->sync(), episodes_->sync();
      directory_.checkpoints().write(name(told.seed), told.update,
                                     {{"diary", diary}, {"learner", told.kept->learner}});
    }
  }
  if (!told.ending) return;
  endings_[at(told.seed)] = told.ending;
  if (told.kept) kept_[at(told.seed)] = told.kept;
}

void TrainingLog::read_letters() {
  if (!dealt_) return;
  while (const auto next = letter()) {
    Told told;
    restore_from(next->bytes, told);
    write_down(told);
  }
}

/// What the root has of all seeds, to every process; learners only where they are to be gone on with.
void TrainingLog::share() {
  if (ranks() == 1) return;
  auto all = std::pair(kept_, endings_);
  for (auto& each : all.first)
    if (each && endings_[0]) each->learner.clear();
  const auto given = all_gather(root() ? stored(all) : std::vector<std::byte>());
  if (root()) return;
  restore_from(given.front(), all);
  std::tie(kept_, endings_) = std::move(all);
}

void TrainingLog::finish() {
  if (dealt_) {
    const auto ended = [&] {
      return std::all_of(endings_.begin(), endings_.end(), [](const auto& e) { return !!e; });
    };
    while (root() && !ended()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      const std::lock_guard lock(mutex_);
      read_letters();
    }
    share();
  }
  for (const auto& each : endings_)
    if (!each->fault.empty()) throw NumericalFault(each->fault);
  progress_.reset(), episodes_.reset();
  std::string progress = progress_table().text(), episodes = episode_table().text();
  for (const auto& each : kept_) progress += each->diary.progress(), episodes += each->diary.episodes();
  directory_.write("progress.csv", progress);
  directory_.write("episodes.csv", episodes);
  if (root())
    for (int i = 0; i < static_cast<int>(seeds_.size()); ++i)
      directory_.adopt(directory_.checkpoints().last(name(i)));
}

}  // namespace lowvar
