"""The four target classes as articulated solids, with the heat that each part gives off.

Each function returns parts with temperatures as contrasts to the surroundings in Kelvin, for targets warmer
(``sign`` = 1) or colder (``sign`` = -1) than their background. The order of heat inside a target is kept in both
polarities: heads are warmer than clothes, engines and tyres warmer than the car's body, motors than a drone's arms.
"""

import numpy as np

from .geometry import Part, ball, circle, face, limb, owned


def _knee(hip: np.ndarray, foot: np.ndarray, length: float) -> np.ndarray:
    """Knee of a leg with two links of equal ``length`` in the x-z plane, bent forward."""
    middle, span = (hip + foot) / 2, foot - hip
    reach = np.hypot(span[0], span[2])
    bend = np.sqrt(max(length**2 - (reach / 2) ** 2, 0.0))
    return middle + bend * np.array([-span[2], 0.0, span[0]]) / max(reach, 1e-6)


def _heat(rng: np.random.Generator, sign: int, hot: float, cold: float, spread: float = 0.15) -> float:
    return float((hot if sign > 0 else cold) * rng.normal(1, spread))


def _body(rng: np.random.Generator, sign: int, joints: dict[str, np.ndarray], lean: float) -> list[Part]:
    """Limbs, torso and head around given joints; side -1 is the right, +1 the left."""
    coat, trousers = _heat(rng, sign, 5.5, -6.0), _heat(rng, sign, 5.0, -6.0)
    skin = max(_heat(rng, sign, 9.5, -3.0), coat + 1.5)
    parts = []
    for side in 'rl':
        hip, knee, foot = (joints[f'{name}_{side}'] for name in ('hip', 'knee', 'foot'))
        shoulder, elbow, hand = (joints[f'{name}_{side}'] for name in ('shoulder', 'elbow', 'hand'))
        toe = foot + np.array([0.17, 0.0, -0.02])
        parts += [
            limb(hip, knee, 0.085, trousers + 0.6),
            limb(knee, foot, 0.06, trousers),
            limb(foot, toe, 0.045, trousers - 0.8),
            limb(shoulder, elbow, 0.055, coat),
            limb(elbow, hand, 0.045, coat - 0.3),
            ball(hand, 0.05, skin - 0.5),
        ]
    hips = (joints['hip_r'] + joints['hip_l']) / 2
    neck = (joints['shoulder_r'] + joints['shoulder_l']) / 2
    across = np.array([0.0, 0.12, 0.0])
    trunk = np.stack([hips - across / 2, hips + across / 2, neck - across, neck + across])
    head = neck + np.array([np.sin(lean) * 0.2 + 0.03, 0.0, 0.23])
    parts += [
        Part(trunk, coat, 0.09),
        limb(neck, (neck + head) / 2, 0.055, skin - 0.3),
        ball(head, 0.115, skin),
    ]
    if rng.random() < 0.5:  # hair or a cap hides the warm scalp
        parts.append(limb(head + [-0.03, 0, 0.05], head + [-0.06, 0, 0.0], 0.1, skin - 2.0))
    if rng.random() < 0.2:
        parts.append(limb(neck + [-0.16, 0, -0.1], hips + [-0.16, 0, 0.15], 0.11, coat - 1.5))  # rucksack
    return parts


def human(rng: np.random.Generator, sign: int) -> list[Part]:
    """A standing, walking or running person about 1.7 m tall."""
    gait = rng.choice([0.0, 0.45, 0.8], p=[0.25, 0.6, 0.15])
    phase = rng.uniform(0, 2 * np.pi)
    lean = 0.25 * gait**2 + rng.normal(0, 0.03)
    joints = {}
    for side, shift in (('r', 0.0), ('l', np.pi)):
        y = 0.1 if side == 'l' else -0.1
        swing = gait * np.sin(phase + shift) + rng.normal(0, 0.03)
        bend = gait * (0.25 + 0.8 * max(np.cos(phase + shift), 0.0)) + 0.05
        hip = np.array([0.0, y, 0.88])
        knee = hip + 0.43 * np.array([np.sin(swing), 0.0, -np.cos(swing)])
        foot = knee + 0.42 * np.array([np.sin(swing - bend), 0.0, -np.cos(swing - bend)])
        shoulder = np.array([0.5 * np.sin(lean), 1.9 * y, 0.88 + 0.52 * np.cos(lean)])
        arm = -1.1 * gait * np.sin(phase + shift) + rng.normal(0, 0.08)
        elbow = shoulder + 0.29 * np.array([np.sin(arm), 0.25 * np.sign(y), -np.cos(arm)])
        bent = arm + 0.15 + 1.2 * gait**2 + abs(rng.normal(0, 0.2))
        hand = elbow + 0.26 * np.array([np.sin(bent), 0.0, -np.cos(bent)])
        names = ('hip', 'knee', 'foot', 'shoulder', 'elbow', 'hand')
        joints |= {f'{n}_{side}': p for n, p in zip(names, (hip, knee, foot, shoulder, elbow, hand), strict=True)}
    return _body(rng, sign, joints, lean)


def bicycle(rng: np.random.Generator, sign: int) -> list[Part]:
    """Frame, two wheels with tyres and spokes, handlebar, saddle. The wheels' discs belong to the silhouette."""
    tube, tyre = _heat(rng, sign, 5.0, -6.5), _heat(rng, sign, 5.5, -5.0)
    back, front = np.array([-0.52, 0, 0.35]), np.array([0.53, 0, 0.35])
    crank, seat, head, fork = (
        np.array(p) for p in ([-0.06, 0, 0.29], [-0.2, 0, 0.86], [0.36, 0, 0.86], [0.4, 0, 0.68])
    )
    parts = []
    for hub in (back, front):
        ring = circle(hub, 0.33, axis=1)
        parts.append(face(ring, tyre * 0.7, opacity=0.3))
        parts += [limb(a, b, 0.03, tyre) for a, b in zip(ring, np.roll(ring, -1, axis=0), strict=True)]
        parts.append(ball(hub, 0.04, tyre + 0.5))
    bars = [(crank, seat), (crank, fork), (seat * 0.95 + crank * 0.05, head), (fork, front), (fork, head)]
    bars += [(crank, back), (seat * 0.9 + crank * 0.1, back)]
    parts += [limb(a, b, 0.025, tube) for a, b in bars]
    parts.append(limb(head + [0.03, -0.27, 0.08], head + [0.03, 0.27, 0.08], 0.022, tube))
    parts.append(limb(head, head + [0.03, 0, 0.08], 0.025, tube))
    parts.append(limb(seat + [-0.12, 0, 0.05], seat + [0.12, 0, 0.05], 0.055, tube + 1.0))
    parts.append(ball(crank, 0.09, tyre + 0.5))
    return parts


def rider_and_bicycle(rng: np.random.Generator, sign: int) -> list[Part]:
    """A bicycle (owner 1) and the person who rides it (owner 2)."""
    angle = rng.uniform(0, 2 * np.pi)
    joints = {}
    for side, shift in (('r', 0.0), ('l', np.pi)):
        y = 0.1 if side == 'l' else -0.1
        pedal = np.array([-0.06 + 0.17 * np.cos(angle + shift), y, 0.31 + 0.17 * np.sin(angle + shift)])
        hip = np.array([-0.2, y * 0.8, 0.98])
        shoulder = np.array([0.12, 1.8 * y, 1.42])
        hand = np.array([0.4, 2.4 * y, 0.97])
        joints |= {f'hip_{side}': hip, f'foot_{side}': pedal, f'knee_{side}': _knee(hip, pedal, 0.44)}
        joints |= {f'shoulder_{side}': shoulder, f'hand_{side}': hand}
        joints[f'elbow_{side}'] = (shoulder + hand) / 2 + np.array([0.0, 0.4 * y, -0.08])
    return owned(bicycle(rng, sign), 1) + owned(_body(rng, sign, joints, 0.5), 2)


_CARS = {  # side profiles (x, z) in metres from the front bumper over the roof to the tail; index of each section
    'saloon': [(2.2, 0.45), (2.15, 0.78), (1.05, 0.95), (0.3, 1.42), (-1.1, 1.44), (-1.75, 1.0), (-2.2, 0.95)],
    'hatchback': [(1.95, 0.45), (1.9, 0.8), (1.0, 0.98), (0.4, 1.48), (-1.35, 1.5), (-1.85, 1.0), (-1.95, 0.7)],
    'van': [(2.4, 0.45), (2.35, 0.95), (1.8, 1.15), (1.25, 1.9), (-2.2, 1.95), (-2.4, 1.2), (-2.4, 0.8)],
}


def car(rng: np.random.Generator, sign: int) -> list[Part]:
    """A saloon, hatchback or van: body, windows, wheels, exhaust and, when it has been driven, a hot bonnet."""
    profile = np.array(_CARS[rng.choice(list(_CARS), p=[0.45, 0.35, 0.2])])
    driven = rng.random() < 0.65
    body = _heat(rng, sign, 3.5, -6.5)
    window = body + _heat(rng, 1, -2.5, 0)
    hood = body + (_heat(rng, 1, 4.0, 0) if driven else rng.normal(0.5, 0.3))
    wheel = body + (_heat(rng, 1, 3.5, 0) if driven else rng.normal(0.5, 0.3))
    roof = body + rng.normal(-0.5, 0.7)
    names = [hood * 0.5 + body * 0.5, hood, window, roof, window, body]  # nose, bonnet, windscreen, roof, rear, boot
    half, narrow = 0.88, 0.68
    widths = np.where(profile[:, 1] > 1.25, narrow, half)
    shade = [(x, y, 0) for x, y in ((2.4, -1), (2.4, 1), (-2.4, 1), (-2.4, -1))]
    parts = [face(shade, -2.0, opacity=0.4, silhouette=False)]
    for i, heat in enumerate(names):  # the shell, from bumper to tail
        (xa, za), (xb, zb), ya, yb = profile[i], profile[i + 1], widths[i], widths[i + 1]
        parts.append(face([(xa, -ya, za), (xa, ya, za), (xb, yb, zb), (xb, -yb, zb)], heat))
        if heat is window:
            inner = 0.82
            rows = [(xa, -ya * inner, za), (xa, ya * inner, za), (xb, yb * inner, zb), (xb, -yb * inner, zb)]
            parts[-1] = face(parts[-1].points, body)
            parts.append(face(np.array(rows) + [0.02 * np.sign(xa), 0, 0.02], window))
    tail, front = profile[-1], profile[0]
    parts.append(face([(tail[0], s * half, z) for s, z in ((-1, tail[1]), (1, tail[1]), (1, 0.4), (-1, 0.4))], body))
    for side in (-1, 1):
        low = [(*p[:1], side * half, p[1]) for p in profile if p[1] <= 1.25]
        flank = [*low, (tail[0], side * half, 0.35), (front[0], side * half, 0.35)]
        parts.append(face(flank, body + 0.3))
        cabin = [(p[0], side * w, p[1]) for p, w in zip(profile[2:6], widths[2:6], strict=True)]
        parts.append(face(cabin, body))
        center = np.mean(cabin, axis=0)
        glass = center + (np.array(cabin) - center) * [0.84, 1, 0.72] + [0, side * 0.02, 0.02]
        parts.append(face(glass, window))
        pillar = (glass[0] + glass[3]) / 2, (glass[1] + glass[2]) / 2
        parts.append(limb(pillar[0] + [0, side * 0.02, 0], pillar[1] + [0, side * 0.02, 0], 0.04, body))
        for x in (profile[1, 0] - 0.75, profile[-1, 0] + 0.8):
            hub = (x, side * (half + 0.03), 0.33)
            parts.append(face(circle(hub, 0.33, axis=1), wheel))
            parts.append(face(circle((x, side * (half + 0.05), 0.33), 0.17, axis=1), wheel - (1.5 if driven else 0)))
    if driven:
        parts.append(ball((tail[0] - 0.05, 0.5, 0.35), 0.1, wheel + 3.0))
        grille = [(front[0] + 0.02, s * 0.5, z) for s, z in ((-1, 0.5), (1, 0.5), (1, 0.75), (-1, 0.75))]
        parts.append(face(grille, hood))
    return parts


def uav(rng: np.random.Generator, sign: int) -> list[Part]:
    """A drone with 4, 6 or 8 rotors: hub with the battery, arms, motors, legs, camera. Spinning rotors are no mask."""
    rotors = int(rng.choice([4, 6, 8], p=[0.65, 0.25, 0.1]))
    frame = _heat(rng, sign, 4.5, -6.5)
    motor = max(_heat(rng, sign, 9.0, -3.5), frame + 1.5)
    battery = max(_heat(rng, sign, 7.5, -5.0), frame + 0.5)
    reach = rng.uniform(0.34, 0.48)
    rotor = reach * min(0.62, 2.4 / rotors)
    turn = np.pi / rotors if rng.random() < 0.7 else 0.0
    parts = []
    for i in range(rotors):
        angle = turn + 2 * np.pi * i / rotors
        tip = np.array([np.cos(angle) * reach, np.sin(angle) * reach, 0.04])
        axle = tip + [0, 0, 0.09]
        parts.append(limb((0, 0, 0.0), tip, 0.028, frame))
        parts.append(limb(tip, tip + [0, 0, 0.06], 0.045, motor + rng.uniform(-0.4, 0.4)))
        parts.append(face(circle(axle, rotor, axis=2), frame * 0.5, opacity=0.12, silhouette=False))
        blade = rng.uniform(0, np.pi)
        swing = np.array([np.cos(blade), np.sin(blade), 0]) * rotor
        parts.append(limb(axle - swing, axle + swing, 0.012, frame, opacity=0.3, silhouette=False))
    parts.append(limb((-0.11, 0, 0.02), (0.11, 0, 0.02), 0.09, frame + 1.0))
    parts.append(limb((-0.07, 0, 0.09), (0.07, 0, 0.09), 0.055, battery))
    if rng.random() < 0.7:
        for side in (-1, 1):
            parts.append(limb((-0.14, side * 0.15, -0.2), (0.14, side * 0.15, -0.2), 0.016, frame))
            parts.append(limb((0, side * 0.08, 0), (0, side * 0.15, -0.2), 0.016, frame))
    if rng.random() < 0.6:
        parts.append(ball((0.1, 0, -0.1), 0.055, battery - 0.5))
    return parts
