"""Episodes of the classic-control worlds, from their published equations alone: make_traces.py [DIRECTORY]

Writes DIRECTORY/ID.csv (default: traces/ beside this file) with the columns
episode, t, action_*, reward, terminated, truncated, obs_*, state_*: what an action leads to, as `lowvar env replay`
prints it; t = -1 is where an episode starts. The equations of motion are solved here as the linear systems that the
papers derive them from, not in the closed form that the library uses.
"""
import math
import sys
from pathlib import Path

import numpy as np


def f32(values):
    return np.asarray(values, dtype=np.float32)


class CartPole:
    """Barto, Sutton & Anderson (1983): cart 1 kg, pole 0.1 kg of half-length 0.5 m, Euler steps of 0.02 s.

    (M + m) x'' + m l cos(th) th'' = F + m l th'^2 sin(th) - mu_c sgn(x')
    m l cos(th) x'' + 4/3 m l^2 th'' = m g l sin(th) - mu_p th'
    """
    limit, mu_c, mu_p = 500, 0.0, 0.0
    start = staticmethod(lambda rng: rng.uniform(-0.05, 0.05, 4))

    def force(self, action):
        return 10.0 if action[0] == 1 else -10.0

    def step(self, state, action):
        x, x_dot, th, th_dot = state
        cart, pole, l, g, dt = 1.0, 0.1, 0.5, 9.8, 0.02
        mass = np.array([[cart + pole, pole * l * np.cos(th)], [pole * l * np.cos(th), 4 / 3 * pole * l * l]])
        pull = np.array([self.force(action) + pole * l * th_dot**2 * np.sin(th) - self.mu_c * np.sign(x_dot),
                         pole * g * l * np.sin(th) - self.mu_p * th_dot])
        x_acc, th_acc = np.linalg.solve(mass, pull)
        new = np.array([x + dt * x_dot, x_dot + dt * x_acc, th + dt * th_dot, th_dot + dt * th_acc])
        return new, 1.0, bool(abs(new[0]) > 2.4 or abs(new[2]) > math.radians(12))

    def observe(self, state):
        return f32(state)


class FrictionCartPole(CartPole):
    limit, mu_c, mu_p = 1000, 0.0005, 0.000002

    def force(self, action):
        return float(np.clip(action[0], -10, 10))


class Acrobot:
    """Sutton & Barto: two links of 1 kg, 1 m and moment of inertia 1; M(q) q'' + h(q, q') = (0, torque)."""
    limit = 500
    start = staticmethod(lambda rng: f32(rng.uniform(-0.1, 0.1, 4)).astype(np.float64))

    @staticmethod
    def derivative(s, torque):
        th1, th2, w1, w2 = s
        m, l, c, inertia, g = 1.0, 1.0, 0.5, 1.0, 9.8
        cross = m * l * c * np.cos(th2)
        d22 = m * c * c + inertia
        d12 = d22 + cross
        d11 = 2 * (m * c * c + inertia) + m * l * l + 2 * cross
        swirl = m * l * c * np.sin(th2)
        weight2 = m * c * g * np.sin(th1 + th2)
        weight1 = (m * c + m * l) * g * np.sin(th1) + weight2
        rest = np.array([swirl * (w2 * w2 + 2 * w1 * w2) - weight1, torque - swirl * w1 * w1 - weight2])
        acc = np.linalg.solve(np.array([[d11, d12], [d12, d22]]), rest)
        return np.array([w1, w2, acc[0], acc[1]])

    def step(self, state, action):
        torque, h = float(action[0]) - 1, 0.2
        s = np.asarray(state, dtype=np.float64)
        k1 = self.derivative(s, torque)
        k2 = self.derivative(s + h / 2 * k1, torque)
        k3 = self.derivative(s + h / 2 * k2, torque)
        k4 = self.derivative(s + h * k3, torque)
        s = s + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        s[:2] = [math.remainder(angle, 2 * math.pi) for angle in s[:2]]
        s[2] = np.clip(s[2], -4 * math.pi, 4 * math.pi)
        s[3] = np.clip(s[3], -9 * math.pi, 9 * math.pi)
        up = bool(-np.cos(s[0]) - np.cos(s[0] + s[1]) > 1)
        return s, 0.0 if up else -1.0, up

    def observe(self, s):
        return f32([np.cos(s[0]), np.sin(s[0]), np.cos(s[1]), np.sin(s[1]), s[2], s[3]])


class MountainCar:
    """Sutton & Barto, example 10.1, with the wall at -1.2 and an end at 0.6."""
    limit, goal = 200, 0.5
    start = staticmethod(lambda rng: np.array([rng.uniform(-0.6, -0.4), 0.0]))

    def push(self, action):
        return 0.001 * (action[0] - 1)

    def reward(self, action, up):
        return -1.0

    def keep(self, state):
        return state

    def step(self, state, action):
        x, v = float(state[0]), float(state[1])
        v = min(max(v + self.push(action) - 0.0025 * math.cos(3 * x), -0.07), 0.07)
        x = min(max(x + v, -1.2), 0.6)
        if x == -1.2 and v < 0:
            v = 0.0
        up = x >= self.goal and v >= 0
        return self.keep(np.array([x, v])), self.reward(action, up), up

    def observe(self, state):
        return f32(state)


class MountainCarContinuous(MountainCar):
    limit, goal = 999, 0.45

    def push(self, action):
        return min(max(float(action[0]), -1.0), 1.0) * 0.0015

    def reward(self, action, up):
        return (100.0 if up else 0.0) - float(action[0]) ** 2 * 0.1

    def keep(self, state):
        return f32(state).astype(np.float64)


class Pendulum:
    """A rod of 1 kg and 1 m about its end, I = m l^2 / 3: I th'' = m g l/2 sin(th) + u, g = 10, steps of 0.05 s."""
    limit = 200
    start = staticmethod(lambda rng: np.array([rng.uniform(-math.pi, math.pi), rng.uniform(-1, 1)]))

    def step(self, state, action):
        th, w = float(state[0]), float(state[1])
        u = min(max(float(action[0]), -2.0), 2.0)
        turned = (th + math.pi) % (2 * math.pi) - math.pi
        cost = turned**2 + 0.1 * w**2 + 0.001 * u**2
        w = min(max(w + (1 * 10 * 1 / 2 * np.sin(th) + u) / (1 / 3) * 0.05, -8.0), 8.0)
        return np.array([th + w * 0.05, w]), -cost, False

    def observe(self, state):
        return f32([np.cos(state[0]), np.sin(state[0]), state[1]])


def balance(state, rng):
    x, x_dot, th, th_dot = state
    return [int(0.05 * x + 0.1 * x_dot + th + 0.3 * th_dot + 0.02 * rng.normal() > 0)]


def at_random(low, high):
    """A whole number from low to high, or a number between them."""
    if isinstance(low, int):
        return lambda state, rng: [int(rng.integers(low, high + 1))]
    return lambda state, rng: [float(rng.uniform(low, high))]


def always(action):
    return lambda state, rng: [action]


# Of each world: the policies of its episodes from a random start, each with a limit of its own steps; and states far
# from any start, from which single steps are taken.
WORLDS = {
    "CartPole-v0": (CartPole(), 200, [(balance, 1000)], None),
    "CartPole-v1": (CartPole(), 500, [(at_random(0, 1), 1000), (always(1), 1000), (balance, 1000)],
                    ([-3, -4, -4, -6], [3, 4, 4, 6])),
    "CartPoleFriction-v0": (FrictionCartPole(), 1000,
                            [(at_random(-12.0, 12.0), 1000),
                             (lambda s, rng: [float(np.dot([1, 2, 30, 5], s) + rng.normal())], 150)],
                            ([-3, -4, -4, -6], [3, 4, 4, 6])),
    "Acrobot-v1": (Acrobot(), 500,
                   [(at_random(0, 2), 60), (lambda s, rng: [2 if s[3] > 0 else 0], 1000),
                    (lambda s, rng: [0 if s[2] > 0 else 2], 1000)],
                   ([-4, -12, -13, -29], [4, 12, 13, 29])),
    "MountainCar-v0": (MountainCar(), 200,
                       [(at_random(0, 2), 1000), (lambda s, rng: [2 if s[1] >= 0 else 0], 1000)],
                       ([-1.2, -0.07], [0.6, 0.07])),
    "MountainCarContinuous-v0": (MountainCarContinuous(), 999,
                                 [(at_random(-1.3, 1.3), 150),
                                  (lambda s, rng: [1.2 if s[1] >= 0 else -0.9], 1000)],
                                 ([-1.2, -0.07], [0.6, 0.07])),
    "Pendulum-v1": (Pendulum(), 200, [(at_random(-2.5, 2.5), 1000), (always(2.0), 60)], ([-20, -8], [20, 8])),
}


def text(x):
    return repr(float(x)) if not isinstance(x, (bool, int)) else str(int(x))


def main(directory):
    directory.mkdir(parents=True, exist_ok=True)
    for number, (name, (world, limit, policies, box)) in enumerate(WORLDS.items()):
        rng = np.random.default_rng([1983, number])
        rows, episode = [], 0

        def run(state, policy, most):
            width = len(policy(state, np.random.default_rng(0)))
            rows.append([episode, -1] + [0] * width + [0, 0, 0] + list(world.observe(state)) + list(state))
            for t in range(most):
                action = policy(state, rng)
                state, reward, terminated = world.step(state, action)
                truncated = t + 1 == limit
                rows.append([episode, t] + action + [reward, terminated, truncated] + list(world.observe(state))
                            + list(state))
                if terminated or truncated:
                    break

        for policy, most in policies:
            run(world.start(rng), policy, most)
            episode += 1
        for _ in range(40 if box else 0):
            state = rng.uniform(*box)
            run(world.keep(state) if hasattr(world, "keep") else state, policies[0][0], 1)
            episode += 1

        p, n = len(world.observe(world.start(rng))), len(world.start(rng))
        width = len(rows[0]) - 5 - p - n
        header = (["episode", "t"] + [f"action_{i}" for i in range(width)] + ["reward", "terminated", "truncated"]
                  + [f"obs_{i}" for i in range(p)] + [f"state_{i}" for i in range(n)])
        lines = [",".join(header)] + [",".join(text(x) for x in row) for row in rows]
        (directory / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "traces")
