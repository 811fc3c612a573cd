// The games, and the worlds that they are.
#pragma once

#include <string>

#include "envs/minatar/asterix.h"
#include "envs/minatar/breakout.h"
#include "envs/minatar/freeway.h"
#include "envs/minatar/seaquest.h"
#include "envs/minatar/space_invaders.h"

namespace lowvar::minatar {

/// A game under an id.
template <class Game>
struct World {
  std::string id;
  std::string description;
  Variant variant;
};

/// Calls f(World<Game>) for each.
template <class F>
void for_each_world(F&& f) {
  const auto both = [&]<class Game>(const std::string& name, const char* description) {
    f(World<Game>{"MinAtar/" + name + "-v1", description, v1});
    f(World<Game>{"MinAtar/" + name + "-v0", "version 0: the actions it has a use for, none sticky", v0});
  };
  both.template operator()<Asterix>("Asterix", "MinAtar's Asterix: gold and enemies in eight rows");
  both.template operator()<Breakout>("Breakout",
                                     "MinAtar's Breakout: a ball, a paddle, three rows of bricks");
  both.template operator()<Freeway>("Freeway", "MinAtar's Freeway: across eight lanes of cars");
  both.template operator()<Seaquest>("Seaquest", "MinAtar's Seaquest: divers, fish, submarines, and air");
  both.template operator()<SpaceInvaders>("SpaceInvaders", "MinAtar's Space Invaders: 24 aliens a wave");
}

}  // namespace lowvar::minatar
