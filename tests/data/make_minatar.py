"""Games of MinAtar by a second implementation of their rules: make_minatar.py [DIRECTORY]

Writes DIRECTORY/GAME.json (default: minatar/ beside this file): {"episodes": [...]} with, of each, what a game recorded from
the original has: reset_draws, draws, actions (asked for), played, rewards, terminal; and seen, the CRC-32 of each
observation, bytes 0 or 1 in the order y, x, channel, the first before any step. Written without the library: lists and sets
of cells, where that has timers in arrays and rows of bits. Draws are multiples of 1/128 and a function of the step alone, so
that a beam search, which knows them, plays on to what chance never reaches.
"""
import copy
import json
import sys
import zlib
from pathlib import Path

NONE, LEFT, UP, RIGHT, DOWN, FIRE = range(6)


class Draws:
    """Of one step, by its number."""

    def __init__(self, seed, step):
        self.state, self.log = (seed << 32) + step, []

    def bits(self):  # splitmix64
        self.state = (self.state + 0x9E3779B97F4A7C15) & (2**64 - 1)
        x = self.state
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & (2**64 - 1)
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & (2**64 - 1)
        return (x ^ (x >> 31)) >> 20

    def uniform(self):
        self.log.append(["u", self.bits() % 128 / 128])
        return self.log[-1][1]

    def integer(self, low, high):
        self.log.append(["i", low, high, low + self.bits() % (high - low)])
        return self.log[-1][3]


def sign(x):
    return (x > 0) - (x < 0)


class Game:
    def __init__(self, draws):
        self.played, self.over = NONE, False
        self.reset(draws)

    def step(self, action, draws):
        if draws.uniform() < 0.1:
            action = self.played
        self.played = action
        return 0 if self.over else self.play(action, draws)

    def cells(self):
        """(x, y, channel) of all that are 1."""
        raise NotImplementedError

    def seen(self):
        cells = bytearray(100 * self.channels)
        for x, y, channel in self.cells():
            cells[(y * 10 + x) * self.channels + channel] = 1
        return zlib.crc32(bytes(cells))


class Breakout(Game):
    channels = 4
    flip_x, flip_y = {"NW": "NE", "NE": "NW", "SE": "SW", "SW": "SE"}, {"NW": "SW", "NE": "SE", "SE": "NE", "SW": "NW"}

    def fill(self):
        self.bricks = {(x, y) for x in range(10) for y in (1, 2, 3)}

    def reset(self, draws):
        self.ball, self.way = [((0, 3), "SE"), ((9, 3), "SW")][draws.integer(0, 2)]
        self.last, self.paddle, self.struck = self.ball, 4, False
        self.fill()

    def play(self, action, draws):
        reward = 0
        self.paddle = min(9, max(0, self.paddle + {LEFT: -1, RIGHT: 1}.get(action, 0)))
        old_x, old_y = self.last = self.ball
        x, y = old_x + (1 if "E" in self.way else -1), old_y + (1 if "S" in self.way else -1)
        if x in (-1, 10):
            x, self.way = old_x, self.flip_x[self.way]
        touching = False
        if y == -1:
            y, self.way = 0, self.flip_y[self.way]
        elif (x, y) in self.bricks:
            touching = True
            if not self.struck:
                reward, self.struck = 1, True
                self.bricks.remove((x, y))
                y, self.way = old_y, self.flip_y[self.way]
        elif y == 9:
            if not self.bricks:
                self.fill()
            if old_x == self.paddle:
                y, self.way = old_y, self.flip_y[self.way]
            elif x == self.paddle:
                y, self.way = old_y, self.flip_x[self.flip_y[self.way]]
            else:
                self.over = True
        self.struck = self.struck and touching
        self.ball = x, y
        return reward

    def cells(self):
        return [(self.paddle, 9, 0), (*self.ball, 1), (*self.last, 2)] + [(x, y, 3) for x, y in self.bricks]

    def worth(self):
        """Between two rows of bricks, of which it passes over one."""
        return -0.1 * sum(y == 2 for _, y in self.bricks) + (self.ball in self.bricks) - 0.02 * abs(self.ball[0] - self.paddle)


class Freeway(Game):
    channels = 7

    def draw_cars(self, columns, draws):
        speeds = [draws.integer(1, 6) for _ in columns]
        ways = [sign(draws.uniform() - 0.5) for _ in columns]
        self.cars = [[x, row, abs(way * speed), abs(way * speed), way]
                     for row, (x, speed, way) in enumerate(zip(columns, speeds, ways), 1)]

    def reset(self, draws):
        self.draw_cars([0] * 8, draws)
        self.row, self.rest, self.left = 9, 3, 2501

    def play(self, action, draws):
        reward = 0
        if self.rest == 0 and action in (UP, DOWN):
            self.rest, self.row = 3, min(9, self.row + (1 if action == DOWN else -1))
        if self.row == 0:
            reward = 1
            self.draw_cars([car[0] for car in self.cars], draws)
            self.row = 9
        for car in self.cars:
            if car[:2] == [4, self.row]:
                self.row = 9
            if car[2] > 0:
                car[2] -= 1
                continue
            car[2], car[0] = car[3], (car[0] + car[4]) % 10
            if car[:2] == [4, self.row]:
                self.row = 9
        self.rest = max(0, self.rest - 1)
        self.left -= 1
        self.over = self.left == 0
        return reward

    def cells(self):
        return [(4, self.row, 0)] + [cell for x, y, _, speed, way in self.cars
                                     for cell in ((x, y, 1), ((x - way) % 10, y, 1 + speed))]

    def worth(self):
        return -0.1 * self.row


class Asterix(Game):
    channels = 4

    def reset(self, draws):
        self.x = self.y = 5
        self.things = {}  # by row: x, way, whether gold
        self.spawn_every = self.spawn_in = 10
        self.move_every = self.move_in = 5
        self.ramp_in, self.ramps = 100, 0

    def meet(self, row):
        if row in self.things and row == self.y and self.things[row][0] == self.x:
            if self.things[row][2]:
                del self.things[row]
                return 1
            self.over = True
        return 0

    def play(self, action, draws):
        reward = 0
        if self.spawn_in == 0:
            self.spawn_in = self.spawn_every
            way = 1 if draws.uniform() < 1 / 2 else -1
            gold = draws.uniform() < 1 / 3
            free = [row for row in range(1, 9) if row not in self.things]
            if free:
                self.things[free[draws.integer(0, len(free))]] = [0 if way > 0 else 9, way, gold]
        self.x = min(9, max(0, self.x + {LEFT: -1, RIGHT: 1}.get(action, 0)))
        self.y = min(8, max(1, self.y + {UP: -1, DOWN: 1}.get(action, 0)))
        for row in range(1, 9):
            reward += self.meet(row)
        if self.move_in == 0:
            self.move_in = self.move_every
            for row in range(1, 9):
                if row in self.things:
                    self.things[row][0] += self.things[row][1]
                    if self.things[row][0] in (-1, 10):
                        del self.things[row]
                    reward += self.meet(row)
        self.spawn_in -= 1
        self.move_in -= 1
        if self.spawn_every > 1 or self.move_every > 1:
            self.ramp_in -= 1
            if self.ramp_in == -2:
                self.move_every -= self.move_every > 1 and self.ramps % 2
                self.spawn_every -= self.spawn_every > 1
                self.ramp_in, self.ramps = 100, self.ramps + 1
        return reward

    def cells(self):
        return [(self.x, self.y, 0)] + [cell for row, (x, way, gold) in self.things.items()
                                        for cell in ((x, row, 3 if gold else 1), (x - way, row, 2)) if 0 <= cell[0] <= 9]

    def worth(self):
        return -0.01 * (abs(self.x - 4.5) + abs(self.y - 4.5))


class SpaceInvaders(Game):
    channels = 6
    wave = {(x, y) for x in range(2, 8) for y in range(4)}

    def reset(self, draws):
        self.x, self.aliens, self.way = 5, set(self.wave), -1
        self.bullets, self.enemy_bullets = set(), set()
        self.move_every = self.move_in = 12
        self.alien_shot_in, self.shot_in = 10, 0

    def hit(self):
        return (self.x, 9) in self.aliens | self.enemy_bullets

    def play(self, action, draws):
        if action == FIRE and self.shot_in == 0:
            self.bullets.add((self.x, 9))
            self.shot_in = 5
        self.x = min(9, max(0, self.x + {LEFT: -1, RIGHT: 1}.get(action, 0)))
        self.bullets = {(x, y - 1) for x, y in self.bullets if y > 0}
        self.enemy_bullets = {(x, y + 1) for x, y in self.enemy_bullets if y < 9}
        self.over = self.hit()
        if self.move_in == 0:
            self.move_in = min(len(self.aliens), self.move_every)
            if any(x == (0 if self.way < 0 else 9) for x, _ in self.aliens):
                self.over = self.over or any(y == 9 for _, y in self.aliens)
                self.way = -self.way
                self.aliens = {(x, (y + 1) % 10) for x, y in self.aliens}
            else:
                self.aliens = {(x + self.way, y) for x, y in self.aliens}
            self.over = self.over or (self.x, 9) in self.aliens
        if self.alien_shot_in == 0:
            self.alien_shot_in = 10
            self.enemy_bullets.add(min(self.aliens, key=lambda cell: (abs(cell[0] - self.x), cell[0], -cell[1])))
        killed = self.aliens & self.bullets
        self.aliens -= killed
        self.bullets -= killed
        self.shot_in = max(0, self.shot_in - 1)
        self.move_in -= 1
        self.alien_shot_in -= 1
        if not self.aliens:
            self.move_every = max(6, self.move_every - 1)
            self.aliens = set(self.wave)
        return len(killed)

    def cells(self):
        return ([(self.x, 9, 0)] + [(*cell, c) for cell in self.aliens for c in (1, 2 if self.way < 0 else 3)] +
                [(*cell, 4) for cell in self.bullets] + [(*cell, 5) for cell in self.enemy_bullets])

    def worth(self):
        return -0.05 * max(y for _, y in self.aliens)


class Seaquest(Game):
    channels = 10

    def reset(self, draws):
        self.x, self.y, self.way, self.surfaced = 5, 0, -1, True
        self.oxygen, self.aboard = 200, 0
        self.bullets, self.enemy_bullets = [], []  # x, y, way
        self.fish, self.subs, self.divers = [], [], []  # x, y, way, moves in; submarines: shoots in
        self.spawn_every = self.spawn_in = 20
        self.diver_in, self.move_every, self.ramps, self.shot_in = 30, 5, 0, 0

    def here(self, other):
        return other[:2] == [self.x, self.y]

    @staticmethod
    def at(things, cell):
        return next((thing for thing in things if thing[:2] == cell), None)

    def move_enemy(self, enemy, things):
        self.over = self.over or self.here(enemy)
        if enemy[3] > 0:
            enemy[3] -= 1
            return 0
        enemy[3] = self.move_every
        enemy[0] += enemy[2]
        if enemy[0] in (-1, 10):
            things.remove(enemy)
        elif self.here(enemy):
            self.over = True
        elif (bullet := self.at(self.bullets, enemy[:2])) is not None:
            things.remove(enemy)
            self.bullets.remove(bullet)
            return 1
        return 0

    def play(self, action, draws):
        reward = 0
        if self.spawn_in == 0:
            self.spawn_in = self.spawn_every
            way = 1 if draws.uniform() < 1 / 2 else -1
            submarine = draws.uniform() < 1 / 3
            y = draws.integer(1, 9)
            if not any(other[1] == y and other[2] != way for other in self.subs + self.fish):
                enemy = [0 if way > 0 else 9, y, way, self.move_every]
                if submarine:
                    self.subs.append(enemy + [10])
                else:
                    self.fish.append(enemy)
        if self.diver_in == 0:
            self.diver_in = 30
            way = 1 if draws.uniform() < 1 / 2 else -1
            self.divers.append([0 if way > 0 else 9, draws.integer(1, 9), way, 5])
        if action == FIRE and self.shot_in == 0:
            self.bullets.append([self.x, self.y, self.way])
            self.shot_in = 5
        elif action in (LEFT, RIGHT):
            self.way = 1 if action == RIGHT else -1
            self.x = min(9, max(0, self.x + self.way))
        elif action in (UP, DOWN):
            self.y = min(8, max(0, self.y + (1 if action == DOWN else -1)))
        for bullet in reversed(self.bullets):
            bullet[0] += bullet[2]
            if bullet[0] in (-1, 10):
                self.bullets.remove(bullet)
                continue
            for things in (self.fish, self.subs):
                if (hit := self.at(things, bullet[:2])) is not None:
                    things.remove(hit)
                    self.bullets.remove(bullet)
                    reward += 1
                    break
        for diver in reversed(self.divers):
            if self.here(diver) and self.aboard < 6:
                self.divers.remove(diver)
                self.aboard += 1
            elif diver[3] > 0:
                diver[3] -= 1
            else:
                diver[3] = 5
                diver[0] += diver[2]
                if diver[0] in (-1, 10):
                    self.divers.remove(diver)
                elif self.here(diver) and self.aboard < 6:
                    self.divers.remove(diver)
                    self.aboard += 1
        for sub in reversed(self.subs):
            reward += self.move_enemy(sub, self.subs)
            if sub[4] > 0:
                sub[4] -= 1
            else:
                sub[4] = 10
                self.enemy_bullets.append(sub[:3])
        for bullet in reversed(self.enemy_bullets):
            self.over = self.over or self.here(bullet)
            bullet[0] += bullet[2]
            if not 0 <= bullet[0] <= 9:
                self.enemy_bullets.remove(bullet)
            else:
                self.over = self.over or self.here(bullet)
        for fish in reversed(self.fish):
            reward += self.move_enemy(fish, self.fish)
        self.spawn_in, self.diver_in, self.shot_in = (max(0, t - 1) for t in (self.spawn_in, self.diver_in, self.shot_in))
        self.over = self.over or self.oxygen <= 0
        if self.y > 0:
            self.oxygen -= 1
            self.surfaced = False
        elif not self.surfaced and self.aboard == 0:
            self.over = True
        elif not self.surfaced:
            self.surfaced = True
            if self.aboard == 6:
                self.aboard = 0
                reward += self.oxygen * 10 // 200
            self.oxygen = 200
            self.aboard -= 1
            if self.spawn_every > 1 or self.move_every > 2:
                self.move_every -= self.move_every > 2 and self.ramps % 2
                self.spawn_every -= self.spawn_every > 1
                self.ramps += 1
        return reward

    def cells(self):
        out = [(self.x, self.y, 0), (self.x - self.way, self.y, 1)]
        out += [(x, 9, 7) for x in range(max(0, self.oxygen) * 10 // 200)]
        out += [(8 - i, 9, 8) for i in range(self.aboard)]
        out += [(x, y, 2) for x, y, _ in self.bullets] + [(x, y, 4) for x, y, _ in self.enemy_bullets]
        for channel, things in ((5, self.fish), (6, self.subs), (9, self.divers)):
            for x, y, way, *_ in things:
                out += [(x, y, channel)] + [(x - way, y, 3)] * (0 <= x - way <= 9)
        return out

    def worth(self):
        """Six divers and air are worth a way home; less than none aboard, every way up, which brings more enemies."""
        out = 0.5 * self.aboard + (0.5 if self.aboard >= 0 else 0.7) * self.ramps
        if self.aboard == 6 or self.oxygen < 60:
            return out - 0.1 * self.y - 0.05 * max(0, 60 - self.oxygen)
        return out - 0.02 * min([9] + [abs(x - self.x) + abs(y - self.y) for x, y, *_ in self.divers])


def searched(game, seed, steps, width=24):
    """Actions that go far: the best of many games at every step, none of which knows more than the draws."""
    beam = [(0, game(Draws(seed, 0)), None)]
    for t in range(1, steps + 1):
        found = {}
        for total, state, path in beam:
            for action in range(6):
                after = copy.deepcopy(state)
                reward = total + after.step(action, Draws(seed, t))
                value = reward + after.worth() - 1e6 * after.over + Draws(seed + 1, t * 1000 + len(found)).uniform() / 1e3
                key = after.seen(), after.played
                if key not in found or found[key][0] < value:
                    found[key] = value, reward, after, (path, action)
        best = sorted(found.values(), key=lambda each: -each[0])[:width]
        beam = [each[1:] for each in best]
        if beam[0][1].over:
            break
    actions, path = [], beam[0][2]
    while path:
        path, action = path
        actions.append(action)
    return actions[::-1]


def at_random(seed, steps):
    return [Draws(seed + 2, t).integer(0, 6) for t in range(steps)]


def episode(game, seed, actions):
    draws = Draws(seed, 0)
    state = game(draws)
    out = {"reset_draws": draws.log, "draws": [], "actions": "", "played": "", "rewards": [], "terminal": False,
           "seen": [state.seen()]}
    for t, action in enumerate(actions, 1):
        draws = Draws(seed, t)
        out["rewards"].append(state.step(action, draws))
        out["draws"].append(draws.log)
        out["actions"] += str(action)
        out["played"] += str(state.played)
        out["seen"].append(state.seen())
        out["terminal"] = state.over
        if state.over:
            break
    return out, state


def main(directory):
    directory.mkdir(exist_ok=True)
    # A car of the first episode on the freeway stands still: its direction is drawn as exactly 1/2.
    for name, game, steps, first in (("asterix", Asterix, 1000, 1), ("breakout", Breakout, 500, 1), ("freeway", Freeway, 400, 71),
                                     ("seaquest", Seaquest, 700, 1), ("space_invaders", SpaceInvaders, 500, 1)):
        episodes = []
        for seed, actions in ((first, at_random(first, 2501)), (2, searched(game, 2, steps))):
            played, state = episode(game, seed, actions)
            episodes.append(played)
            print(name, len(played["draws"]), sum(played["rewards"]), played["terminal"],
                  {k: v for k, v in vars(state).items() if isinstance(v, int)})
        (directory / f"{name}.json").write_text(json.dumps({"episodes": episodes}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "minatar")
