"""Makes tests/reference/cartpole.csv: episodes of the cart with a pole, for dqn --trajectory.

    python3 tests/reference/cartpole.py > tests/reference/cartpole.csv

Written from Barto, Sutton and Anderson (1983) without a look at examples/dqn: both unknown accelerations come at once
from the two equations of motion, a linear system,

    (m_c + m_p) a            + m_p l cos(th) w' = F + m_p l w^2 sin(th)
    cos(th) a                + (4/3) l w'       = g sin(th)

instead of from the solved formula, in long double; one line is printed for each state, with the action then taken."""
import numpy as np

F = np.longdouble
g, m_c, m_p, length, push, dt = F("9.8"), F(1), F("0.1"), F("0.5"), F(10), F("0.02")
lean = F(12) * np.pi / 180


def accelerations(force, th, w):
    s, c = np.sin(th), np.cos(th)
    a11, a12, b1 = m_c + m_p, m_p * length * c, force + m_p * length * w * w * s
    a21, a22, b2 = c, F(4) / 3 * length, g * s
    det = a11 * a22 - a12 * a21
    return (b1 * a22 - a12 * b2) / det, (a11 * b2 - a21 * b1) / det


rng = np.random.default_rng(7)
print("action,x,x_speed,angle,angle_speed,end")
for policy in ("random", "left", "right", "balance", "balance far"):
    x, v, th, w = (F(u) for u in rng.uniform(-0.05, 0.05, 4))
    if policy == "balance far":
        x, v = F("2.2"), F("0.5")
    for step in range(120):
        failed = abs(x) > F("2.4") or abs(th) > lean
        action = {"random": int(rng.integers(2)), "left": 0, "right": 1}.get(policy, int(th + w / 2 + v / 100 > 0))
        end = 1 if failed else 2 if step == 119 else 0  # 2: time is up
        print(f"{action},{float(x):.17g},{float(v):.17g},{float(th):.17g},{float(w):.17g},{end}")
        if failed:
            break
        a, turn = accelerations(push if action else -push, th, w)
        x, v, th, w = x + dt * v, v + dt * a, th + dt * w, w + dt * turn
        # A row holds doubles; the next one follows from what was written.
        x, v, th, w = (F(float(u)) for u in (x, v, th, w))
