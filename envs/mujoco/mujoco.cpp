#include "envs/mujoco/mujoco.h"

#include <cstring>
#include <mutex>

#include "core/error.h"
#include "envs/mujoco/page.h"

namespace lowvar {
namespace {

/// NAME-v4 or NAME-v5; HalfCheetah and Swimmer did not change.
MujocoPage page_of(std::string_view id) {
  const auto is = [&](std::string_view name, int version) {
    return id.starts_with(name) && id.substr(name.size()) == (version == 4 ? "-v4" : "-v5");
  };
  for (const int version : {4, 5}) {
    if (is("Ant", version)) return ant(version);
    if (is("HalfCheetah", version)) return half_cheetah();
    if (is("Hopper", version)) return hopper(version);
    if (is("InvertedDoublePendulum", version)) return inverted_double_pendulum(version);
    if (is("InvertedPendulum", version)) return inverted_pendulum(version);
    if (is("Reacher", version)) return reacher(version);
    if (is("Swimmer", version)) return swimmer();
    if (is("Walker2d", version)) return walker2d(version);
  }
  fail("there is no world '", id, "' on MuJoCo");
}

/// The engine's errors become ours, where it would wait for a key and end the process; its warnings, which it
/// would write into a file in the working directory, are read from its counters (`check_warnings`).
void take_errors() {
  static std::once_flag once;
  std::call_once(once, [] {
    mju_user_error = [](const char* message) { throw Error(join("MuJoCo: ", message)); };
    mju_user_warning = [](const char*) {};
  });
}

mjModel* load(std::string_view id, const std::string& mjcf) {
  static std::mutex one_at_a_time;  // the compiler of models has global variables
  const std::lock_guard lock(one_at_a_time);
  const auto files = std::make_unique<mjVFS>();
  mj_defaultVFS(files.get());
  const auto size = static_cast<int>(mjcf.size());
  mj_makeEmptyFileVFS(files.get(), "model.xml", size);
  std::memcpy(files->filedata[0], mjcf.data(), mjcf.size());
  char message[1000] = "";
  mjModel* const model = mj_loadXML("model.xml", files.get(), message, sizeof message);
  mj_deleteVFS(files.get());
  expect(model != nullptr, "MuJoCo does not take the model of ", id, ": ", std::string_view(message));
  return model;
}

void check_warnings(std::string_view id, const mjData& d) {
  for (const int bad : {mjWARN_BADQPOS, mjWARN_BADQVEL, mjWARN_BADQACC, mjWARN_BADCTRL})
    if (d.warning[bad].number > 0)
      throw NumericalFault(join("the simulation of ", id, " has left the finite numbers: a ",
                                bad == mjWARN_BADQPOS   ? "position"
                                : bad == mjWARN_BADQVEL ? "velocity"
                                : bad == mjWARN_BADQACC ? "acceleration"
                                                        : "control",
                                " is none"));
  for (const int full : {mjWARN_CONTACTFULL, mjWARN_CNSTRFULL})
    expect(d.warning[full].number == 0, "MuJoCo's memory for contacts of ", id,
           " is too small for this state");
}

}  // namespace

void MujocoScratch::Delete::operator()(mjData_* data) const { mj_deleteData(data); }

struct MujocoModel::Loaded {
  struct Delete {
    void operator()(mjModel* model) const { mj_deleteModel(model); }
  };

  std::string id;
  MujocoPage page;
  std::unique_ptr<mjModel, Delete> m;
  std::size_t nq, nv, kept;

  explicit Loaded(std::string_view name) : id(name), page(page_of(name)) {
    take_errors();
    m.reset(load(id, page.mjcf));
    nq = static_cast<std::size_t>(m->nq), nv = static_cast<std::size_t>(m->nv);
    kept = static_cast<std::size_t>(page.kept);
  }

  std::size_t size() const { return nq + 2 * nv + kept; }
  Seen see(const std::vector<double>& s) const {
    const std::span<const double> all = s;
    return {all.first(nq), all.subspan(nq, nv), all.subspan(nq + 2 * nv)};
  }

  /// The state where the engine is.
  std::vector<double> read(const mjData& d) const {
    std::vector<double> s(size());
    std::copy_n(d.qpos, nq, s.begin());
    std::copy_n(d.qvel, nv, s.begin() + static_cast<long>(nq));
    std::copy_n(d.qacc_warmstart, nv, s.begin() + static_cast<long>(nq + nv));
    if (page.keep) page.keep(*m, d, std::span(s).subspan(nq + 2 * nv));
    return s;
  }

  double dt() const { return m->opt.timestep * page.frame_skip; }
};

MujocoModel::MujocoModel(std::string_view id) : loaded_(std::make_unique<const Loaded>(id)) {}
MujocoModel::~MujocoModel() = default;

const mjModel_* MujocoModel::engine_model() const { return loaded_->m.get(); }
int MujocoModel::observation() const { return loaded_->page.observation; }
int MujocoModel::T() const { return loaded_->page.T; }
int MujocoModel::size() const { return static_cast<int>(loaded_->size()); }

namespace {
std::vector<double> control_range(const mjModel& m, int end) {
  std::vector<double> out;
  for (int i = 0; i < m.nu; ++i) out.push_back(m.actuator_ctrlrange[2 * i + end]);
  return out;
}
}  // namespace
std::vector<double> MujocoModel::action_low() const { return control_range(*loaded_->m, 0); }
std::vector<double> MujocoModel::action_high() const { return control_range(*loaded_->m, 1); }

MujocoScratch MujocoModel::scratch() const {
  mjData* const data = mj_makeData(loaded_->m.get());
  expect(data != nullptr, "there is no memory for a simulation of ", loaded_->id);
  return MujocoScratch(data);
}

std::vector<double> MujocoModel::reset(Rng& rng, MujocoScratch& scratch) const {
  const Loaded& l = *loaded_;
  mjData& d = *scratch.get();
  // All that a step leaves behind and a start depends on; mj_resetData clears everything, which takes longer
  // than a step.
  std::copy_n(l.m->qpos0, l.nq, d.qpos);
  std::fill_n(d.qvel, l.nv, 0);
  std::fill_n(d.qacc_warmstart, l.nv, 0);
  std::fill_n(d.ctrl, l.m->nu, 0);
  std::fill_n(d.cfrc_ext, 6 * l.m->nbody, 0);
  l.page.start({d.qpos, l.nq}, {d.qvel, l.nv}, rng);
  mj_forward(l.m.get(), &d);
  return l.read(d);
}

Step<std::vector<double>> MujocoModel::step(const std::vector<double>& state, std::span<const double> action,
                                            MujocoScratch& scratch) const {
  const Loaded& l = *loaded_;
  mjData& d = *scratch.get();
  std::copy_n(state.begin(), l.nq, d.qpos);
  std::copy_n(state.begin() + static_cast<long>(l.nq), l.nv, d.qvel);
  std::copy_n(state.begin() + static_cast<long>(l.nq + l.nv), l.nv, d.qacc_warmstart);
  std::copy(action.begin(), action.end(), d.ctrl);
  d.time = 0;
  std::fill(std::begin(d.warning), std::end(d.warning), mjWarningStat{});
  for (int i = 0; i < l.page.frame_skip; ++i) mj_step(l.m.get(), &d);
  check_warnings(l.id, d);
  if (l.page.contact_forces) mj_rnePostConstraint(l.m.get(), &d);
  Step<std::vector<double>> out{l.read(d), 0, false};
  const Outcome o = l.page.outcome(l.see(state), l.see(out.state), action, l.dt());
  out.reward = o.reward, out.terminated = o.terminated;
  return out;
}

void MujocoModel::observe(const std::vector<double>& state, std::span<double> out) const {
  loaded_->page.observe(loaded_->see(state), out);
}

std::vector<double> MujocoModel::numbers(const std::vector<double>& state) const {
  const Seen s = loaded_->see(state);
  std::vector<double> out(s.qpos.begin(), s.qpos.end());
  out.insert(out.end(), s.qvel.begin(), s.qvel.end());
  out.insert(out.end(), s.kept.begin(), s.kept.begin() + loaded_->page.numbers_kept);
  return out;
}

std::vector<double> MujocoModel::state_of(std::span<const double> numbers) const {
  const Loaded& l = *loaded_;
  const MujocoScratch fresh = scratch();
  mjData& d = *fresh.get();
  std::copy_n(numbers.begin(), l.nq, d.qpos);
  std::copy_n(numbers.begin() + static_cast<long>(l.nq), l.nv, d.qvel);
  mj_forward(l.m.get(), &d);
  std::vector<double> state = l.read(d);
  std::copy(numbers.begin(), numbers.begin() + static_cast<long>(l.nq + l.nv), state.begin());
  std::copy_n(numbers.end() - l.page.numbers_kept, l.page.numbers_kept,
              state.begin() + static_cast<long>(l.nq + 2 * l.nv));
  return state;
}

std::vector<Solid> MujocoModel::solids(std::span<const double> numbers) const {
  const mjModel& m = *loaded_->m;
  const MujocoScratch fresh = scratch();
  mjData& d = *fresh.get();
  std::copy_n(numbers.begin(), loaded_->nq, d.qpos);
  mj_kinematics(&m, &d);
  std::vector<Solid> out;
  for (int g = 0; g < m.ngeom; ++g) {
    if (m.geom_type[g] != mjGEOM_CAPSULE && m.geom_type[g] != mjGEOM_SPHERE) continue;
    const double half = m.geom_type[g] == mjGEOM_CAPSULE ? m.geom_size[3 * g + 1] : 0;
    Solid s{{}, {}, m.geom_size[3 * g], m.geom_bodyid[g]};
    for (std::size_t i = 0; i < 3; ++i) {
      const double centre = d.geom_xpos[3 * static_cast<std::size_t>(g) + i];
      const double axis = d.geom_xmat[9 * static_cast<std::size_t>(g) + 3 * i + 2];  // the local z
      s.from[i] = centre - half * axis, s.to[i] = centre + half * axis;
    }
    out.push_back(s);
  }
  return out;
}

}  // namespace lowvar
