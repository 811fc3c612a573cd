#include "experiments/parts.h"

#include <utility>

#include "core/interrupt.h"
#include "core/processes.h"
#include "core/store.h"

namespace lowvar {
namespace {

constexpr const char* name = "study";

}  // namespace

Parts::Parts(OutputDirectory& directory) : directory_(directory) {
  const Bytes found = from_root([&] {
    const auto take = [&](const Sections& sections) { restore_from(section(sections, "parts"), state_); };
    number_ = directory.checkpoints().newest(name, take).value_or(0);
    return stored(state_);
  });
  restore_from(found, state_);
}

void Parts::keep() {
  on_root([&] { directory_.checkpoints().write(name, ++number_, {{"parts", stored(state_)}}); });
}

void Parts::operator()(Csv& csv, std::string& text, const std::function<void()>& part) {
  if (part_ < state_.finished.size()) {
    const Added& added = state_.finished[part_++];
    csv.add_lines(added.rows);
    text += added.text;
    return;
  }
  const std::size_t rows = csv.text().size(), lines = text.size();
  computation_ = 0;
  directory_.compute(part);
  state_.finished.push_back({csv.text().substr(rows), text.substr(lines)});
  state_.computation = -1;
  state_.going_on.clear();
  ++part_;
  keep();
  directory_.expect_time();
}

Keeper Parts::keeper(std::function<void()> before) {
  Keeper out;
  const long own = computation_++;
  if (own == state_.computation) out.kept = std::move(state_.going_on);
  out.stands = [this, own, before = std::move(before), work = 0.0](
                   double more, const std::function<std::vector<std::byte>()>& state) mutable {
    work += more;
    if (work < seconds_between_checkpoints() && !interrupt_signal()) return;
    work = 0;
    if (before) before();
    state_.computation = own;
    state_.going_on = state();
    keep();
    directory_.expect_time();
  };
  return out;
}

}  // namespace lowvar
