#include "envs/lunar_lander.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"

#ifdef LOWVAR_BOX2D
#include <box2d/box2d.h>
#endif

namespace lowvar {
namespace {

/// How far to turn and to lift.
struct Correction {
  double turn, lift;
};
Correction pilot(std::span<const double> o) {
  if (o[6] != 0 || o[7] != 0) return {0, -0.5 * o[3]};
  const double angle = std::clamp(0.5 * o[0] + o[2], -0.4, 0.4), hover = 0.55 * std::abs(o[0]);
  return {0.5 * (angle - o[4]) - o[5], 0.5 * (hover - o[1]) - 0.5 * o[3]};
}

}  // namespace

Spaces LunarLander::spaces(bool continuous) {
  Spaces out;
  if (continuous)
    out.m = 2, out.action_low = {-1, -1}, out.action_high = {1, 1};
  else
    out.A = 4;
  out.observation = observation;
  out.dear = true;
  return out;
}

int LunarLander::pilot_choice(std::span<const double> o) {
  const auto [turn, lift] = pilot(o);
  if (lift > std::abs(turn) && lift > 0.05) return 2;
  return turn < -0.05 ? 3 : turn > 0.05 ? 1 : 0;
}

std::array<double, 2> LunarLander::pilot_powers(std::span<const double> o) {
  const auto [turn, lift] = pilot(o);
  return {std::clamp(20 * lift - 1, -1., 1.), std::clamp(-20 * turn, -1., 1.)};
}

#ifndef LOWVAR_BOX2D

std::string LunarLander::missing() { return "Box2D (apt-get install libbox2d-dev, then build again)"; }

MakeStates LunarLander::states(bool) { throw Error("the lunar lander needs " + missing()); }

#else

std::string LunarLander::missing() { return ""; }

namespace {

using L = LunarLander;
constexpr double pixel = 1 / 30.0;

// What an episode is made of, in memory and when it is saved: doubles alone.

struct Start {
  double height[L::columns + 1];  // of the ground before it is smoothed
  double force[2];                // on the lander in the first step
};
struct Move {
  double main = 0, side = 0;  // power: 0, or from 0.5 to 1, of one sign or the other at the sides
  double dispersion[2] = {};  // of where the engines' exhausts push
};

Start draw_start(Rng& rng) {
  Start out;
  for (double& each : out.height) each = rng.uniform(0, L::height / 2);
  for (double& each : out.force) each = rng.uniform(-1000, 1000);
  return out;
}
void draw_dispersion(Rng& rng, Move& move) {
  for (double& each : move.dispersion) each = rng.uniform(-1, 1) * pixel;
}

Move move_of(int choice) {
  return {.main = choice == 2 ? 1. : 0., .side = choice == 1 ? -1. : choice == 3 ? 1. : 0.};
}
Move move_of(const double* vector) {
  Move out;
  if (vector[0] > 0) out.main = 0.5 + 0.5 * std::min(vector[0], 1.0);
  if (const double power = std::abs(vector[1]); power > 0.5)
    out.side = std::copysign(std::min(power, 1.0), vector[1]);
  return out;
}

std::array<double, L::columns> ground(const Start& start) {
  double height[L::columns + 1];
  std::copy(std::begin(start.height), std::end(start.height), height);
  for (int i = L::columns / 2 - 2; i <= L::columns / 2 + 2; ++i) height[i] = L::pad_height;
  std::array<double, L::columns> out;
  for (int i = 0; i < L::columns; ++i)
    out[static_cast<std::size_t>(i)] =
        0.33 * (height[i == 0 ? L::columns : i - 1] + height[i] + height[i + 1]);
  return out;
}

b2Vec2 vec(double x, double y) { return {static_cast<float>(x), static_cast<float>(y)}; }

/// An episode: bodies in a world of their own, and what led to where they are.
class Episode final : b2ContactListener {
 public:
  explicit Episode(const Start& start) : start_(start), world_(vec(0, -10)) {
    build_ground();
    build_lander();
    for (int i = 0; i < 2; ++i) build_leg(i);
    world_.SetContactListener(this);
  }
  Episode(const Episode&) = delete;
  Episode& operator=(const Episode&) = delete;

  /// Returns the reward, which is 0 for the first: that one ends the reset.
  double step(const Move& move) {
    moves_.push_back(move);
    const double angle = lander_->GetAngle(), tip[] = {std::sin(angle), std::cos(angle)},
                 side[] = {-tip[1], tip[0]};
    const b2Vec2 position = lander_->GetPosition();
    const auto [d0, d1] = move.dispersion;
    if (move.main != 0) {
      const double along = 4 * pixel + 2 * d0, x = tip[0] * along + side[0] * d1,
                   y = -tip[1] * along - side[1] * d1, power = 13 * move.main;
      lander_->ApplyLinearImpulse(vec(-x * power, -y * power), vec(position.x + x, position.y + y), true);
    }
    if (move.side != 0) {
      const double across = 3 * d1 + std::copysign(12 * pixel, move.side), x = tip[0] * d0 + side[0] * across,
                   y = -tip[1] * d0 - side[1] * across, power = 0.6 * std::abs(move.side);
      lander_->ApplyLinearImpulse(
          vec(-x * power, -y * power),
          vec(position.x + x - tip[0] * 17 * pixel, position.y + y + tip[1] * 14 * pixel), true);
    }
    world_.Step(1.0F / L::steps_per_second, 6 * 30, 2 * 30);
    observe();
    const double before = std::exchange(shaping_, shaping_of(observation_));
    if (moves_.size() == 1) return 0;
    if (!lander_->IsAwake()) return 100;
    if (failed()) return -100;
    return shaping_ - before - 0.30 * move.main - 0.03 * std::abs(move.side);
  }

  bool ended() const { return failed() || !lander_->IsAwake(); }
  const std::array<double, L::observation>& observation() const { return observation_; }
  const Start& start() const { return start_; }
  const std::vector<Move>& moves() const { return moves_; }

  L::Scene scene() const {
    const auto placed = [](const b2Body& body) {
      return L::Scene::Placed{body.GetPosition().x, body.GetPosition().y, body.GetAngle()};
    };
    L::Scene out{
        placed(*lander_), {placed(*legs_[0]), placed(*legs_[1])}, moves_.back().main, moves_.back().side, {}};
    const auto heights = ground(start_);
    std::copy(heights.begin(), heights.end(), out.ground);
    return out;
  }

 private:
  static constexpr int ground_category = 0x1;

  static b2Filter meets_ground(std::uint16_t category) {
    b2Filter out;
    out.categoryBits = category;
    out.maskBits = ground_category;
    return out;
  }

  void build_ground() {
    const b2BodyDef at_rest;
    ground_ = world_.CreateBody(&at_rest);
    const auto edge = [&](b2Vec2 from, b2Vec2 to, float friction) {
      b2EdgeShape shape;
      shape.SetTwoSided(from, to);
      b2FixtureDef fixture;
      fixture.shape = &shape;
      fixture.friction = friction;
      ground_->CreateFixture(&fixture);
    };
    edge(vec(0, 0), vec(L::width, 0), 0.2F);
    const auto heights = ground(start_);
    const auto point = [&](int i) {
      return vec(L::width / (L::columns - 1) * i, heights[static_cast<std::size_t>(i)]);
    };
    for (int i = 0; i + 1 < L::columns; ++i) edge(point(i), point(i + 1), 0.1F);
  }

  void build_lander() {
    b2BodyDef body;
    body.type = b2_dynamicBody;
    body.position = vec(L::width / 2, L::height);
    lander_ = world_.CreateBody(&body);
    b2Vec2 corners[L::hull.size()];
    for (std::size_t i = 0; i < L::hull.size(); ++i) corners[i] = vec(L::hull[i][0], L::hull[i][1]);
    b2PolygonShape shape;
    shape.Set(corners, static_cast<int>(L::hull.size()));
    b2FixtureDef fixture;
    fixture.shape = &shape;
    fixture.density = 5;
    fixture.friction = 0.1F;
    fixture.filter = meets_ground(0x10);
    lander_->CreateFixture(&fixture);
    lander_->ApplyForceToCenter(vec(start_.force[0], start_.force[1]), true);
  }

  void build_leg(int i) {
    const int sign = i == 0 ? -1 : 1;
    b2BodyDef body;
    body.type = b2_dynamicBody;
    body.position = vec(L::width / 2 - sign * 20 * pixel, L::height);
    body.angle = static_cast<float>(sign * 0.05);
    legs_[i] = world_.CreateBody(&body);
    b2PolygonShape shape;
    shape.SetAsBox(static_cast<float>(L::leg_half_width), static_cast<float>(L::leg_half_height));
    b2FixtureDef fixture;
    fixture.shape = &shape;
    fixture.density = 1;
    fixture.friction = 0.2F;
    fixture.filter = meets_ground(0x20);
    legs_[i]->CreateFixture(&fixture);
    b2RevoluteJointDef joint;
    joint.bodyA = lander_;
    joint.bodyB = legs_[i];
    joint.localAnchorA = vec(0, 0);
    joint.localAnchorB = vec(sign * 20 * pixel, 18 * pixel);
    joint.enableMotor = true;
    joint.maxMotorTorque = 40;
    joint.motorSpeed = static_cast<float>(0.3 * sign);
    joint.enableLimit = true;
    joint.lowerAngle = static_cast<float>(sign < 0 ? 0.9 - 0.5 : -0.9);
    joint.upperAngle = static_cast<float>(sign < 0 ? 0.9 : -0.9 + 0.5);
    world_.CreateJoint(&joint);
  }

  static bool is_of(b2Contact* contact, const b2Body* body) {
    return contact->GetFixtureA()->GetBody() == body || contact->GetFixtureB()->GetBody() == body;
  }
  void BeginContact(b2Contact* contact) override {
    crashed_ = crashed_ || is_of(contact, lander_);
    for (int i = 0; i < 2; ++i) touches_[i] = touches_[i] || is_of(contact, legs_[i]);
  }
  void EndContact(b2Contact* contact) override {
    for (int i = 0; i < 2; ++i) touches_[i] = touches_[i] && !is_of(contact, legs_[i]);
  }

  void observe() {
    const b2Vec2 at = lander_->GetPosition(), speed = lander_->GetLinearVelocity();
    constexpr double x_unit = L::width / 2, y_unit = L::height / 2, fps = L::steps_per_second;
    observation_ = {(at.x - x_unit) / x_unit, (at.y - (L::pad_height + 18 * pixel)) / y_unit,
                    speed.x * x_unit / fps,   speed.y * y_unit / fps,
                    lander_->GetAngle(),      20.0 * lander_->GetAngularVelocity() / fps,
                    touches_[0] ? 1. : 0.,    touches_[1] ? 1. : 0.};
  }
  static double shaping_of(const std::array<double, L::observation>& o) {
    return -100 * std::sqrt(o[0] * o[0] + o[1] * o[1]) - 100 * std::sqrt(o[2] * o[2] + o[3] * o[3]) -
           100 * std::abs(o[4]) + 10 * o[6] + 10 * o[7];
  }
  bool failed() const { return crashed_ || std::abs(observation_[0]) >= 1; }

  Start start_;
  std::vector<Move> moves_;
  std::array<double, L::observation> observation_{};
  double shaping_ = 0;
  bool crashed_ = false;
  bool touches_[2] = {};
  b2World world_;
  b2Body *ground_ = nullptr, *lander_ = nullptr, *legs_[2] = {};
};

/// Box2D fills a table when it makes its first contact, which threads must not do at once.
void make_first_contact() {
  b2World world(vec(0, 0));
  b2BodyDef body;
  body.type = b2_dynamicBody;
  b2CircleShape circle;
  circle.m_radius = 1;
  for (int i = 0; i < 2; ++i) world.CreateBody(&body)->CreateFixture(&circle, 1);
  world.Step(1.0F / L::steps_per_second, 1, 1);
}

class LanderStates final : public States {
 public:
  LanderStates(bool continuous, int n) : States(L::spaces(continuous), n) {
    static const bool ready = (make_first_contact(), true);
    static_cast<void>(ready);
    Rng rng(0, "unused");
    for (int i = 0; i < n; ++i) episodes_.push_back(started(rng));
  }

  void reset(int i, Rng& rng) override { episodes_[static_cast<std::size_t>(i)] = started(rng); }
  bool terminal(int i) const override { return at(i).ended(); }
  void step(int begin, int end, ActionRows actions, const Draws& draws, double* reward,
            char* terminated) override {
    const auto step_one = [&](int i, Rng& rng) {
      Move move = spaces().A ? move_of(actions.choice[i]) : move_of(actions.vector + 2 * i);
      draw_dispersion(rng, move);
      Episode& episode = at(begin + i);
      reward[i] = episode.step(move);
      terminated[i] = episode.ended();
    };
    draws.for_each(end - begin, step_one);
  }
  void observe(int begin, int end, ObservationRows out) const override {
    float* to = std::get<float*>(out);
    for (int i = begin; i < end; ++i)
      for (const double x : at(i).observation()) *to++ = static_cast<float>(x);
  }

  void save(int i, std::vector<std::byte>& out) const override {
    detail::append(at(i).start(), out);
    for (const Move& move : at(i).moves()) detail::append(move, out);
  }
  void restore(int i, std::span<const std::byte> bytes) override {
    expect(bytes.size() > sizeof(Start) && (bytes.size() - sizeof(Start)) % sizeof(Move) == 0,
           "a state of the lunar lander is ", sizeof(Start), " bytes and some times ", sizeof(Move), ", got ",
           bytes.size());
    Start start;
    std::memcpy(&start, bytes.data(), sizeof start);
    std::vector<Move> moves((bytes.size() - sizeof start) / sizeof(Move));
    std::memcpy(moves.data(), bytes.data() + sizeof start, moves.size() * sizeof(Move));
    const auto within = [](double x, double low, double high) {
      expect(x >= low && x <= high, "these are not the bytes of a state of the lunar lander: they hold ", x,
             " where a number from ", low, " to ", high, " belongs");
    };
    for (const double x : start.height) within(x, 0, L::height / 2);
    for (const double x : start.force) within(x, -1000, 1000);
    for (const Move& move : moves) {
      within(move.main, 0, 1), within(move.side, -1, 1);
      for (const double x : move.dispersion) within(x, -pixel, pixel);
    }
    auto& episode = episodes_[static_cast<std::size_t>(i)];
    episode = std::make_unique<Episode>(start);
    for (const Move& move : moves) episode->step(move);
  }

  std::vector<double> numbers(int) const override { return {}; }
  void set_numbers(int, std::span<const double>) override {
    throw Error("a state of the lunar lander cannot be written as numbers");
  }
  std::vector<double> shown(int i) const override {
    const auto x = std::bit_cast<std::array<double, L::scene_numbers>>(at(i).scene());
    return {x.begin(), x.end()};
  }

 private:
  static std::unique_ptr<Episode> started(Rng& rng) {
    auto out = std::make_unique<Episode>(draw_start(rng));
    Move rest;
    draw_dispersion(rng, rest);
    out->step(rest);
    return out;
  }
  Episode& at(int i) const { return *episodes_[static_cast<std::size_t>(i)]; }

  std::vector<std::unique_ptr<Episode>> episodes_;
};

}  // namespace

MakeStates LunarLander::states(bool continuous) {
  return [continuous](int n) { return std::make_unique<LanderStates>(continuous, n); };
}

#endif

}  // namespace lowvar
