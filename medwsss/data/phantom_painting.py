"""How a patient looks in a short-axis cine slice: tissues painted back to front."""

import math

import numpy as np
from jaxtyping import Float, UInt8

from medwsss.data.phantom_anatomy import Anatomy, Body
from medwsss.data.phantom_heart import HeartSection, Moment, Plane, Point
from medwsss.data.phantom_imaging import Canvas, Grid, ellipse_depth, marbling

RV, MYO, LV = 1, 2, 3
"""Codes of ACDC."""


def render_slice(
    anatomy: Anatomy, z_mm: float, moment: Moment, grid: Grid
) -> tuple[Float[np.ndarray, "x y"], UInt8[np.ndarray, "x y"]]:
    """Signal without coil, texture and noise, and the codes of the heart's parts."""
    heart, tissue = anatomy.heart, anatomy.tissue
    centre = heart.centre_at(z_mm, moment)
    canvas = Canvas(grid, tissue["air"])
    chest = _paint_chest(canvas, anatomy, moment)
    _paint_vessels(canvas, anatomy, z_mm, moment, chest)
    _paint_mediastinum(canvas, anatomy, z_mm, centre)
    _paint_abdomen(canvas, anatomy, z_mm, centre, moment, chest)
    _paint_back(canvas, anatomy, moment)
    section = heart.section(z_mm, moment)
    if section is None:
        if z_mm < heart.base_mm(moment):
            _paint_great_vessels(canvas, anatomy, centre, heart.base_mm(moment) - z_mm, moment)
        return canvas.signal, np.zeros(grid.x.shape, np.uint8)
    if section.rv_reach_mm == 0.0 and z_mm < 0.5 * heart.length_mm:
        _paint_atrium_beside(canvas, anatomy, section, moment)
    _paint_heart(canvas, anatomy, section, z_mm, moment)
    return canvas.signal, heart_codes(section, grid)


def heart_codes(section: HeartSection, grid: Grid) -> UInt8[np.ndarray, "x y"]:
    """ACDC's codes by pixel centre; papillary muscles count as cavity."""
    codes = np.zeros(grid.x.shape, np.uint8)
    codes[section.rv_depth(grid.x, grid.y) > 0.0] = RV
    codes[section.outer_depth(grid.x, grid.y) > 0.0] = MYO
    codes[section.cavity_depth(grid.x, grid.y) > 0.0] = LV
    return codes


def _paint_chest(canvas: Canvas, anatomy: Anatomy, moment: Moment) -> Plane:
    """Fat, muscle with ribs, and lung; the depth inside the rib cage is returned."""
    body, tissue, grid = anatomy.body, anatomy.tissue, canvas.grid
    centre = (body.centre[0] + body.chest_shift_mm * moment.drift, body.centre[1])
    angle = np.arctan2(grid.y - centre[1], grid.x - centre[0])
    skin = ellipse_depth(grid, centre, body.half_axes) + 130.0 * body.skew[0] * np.cos(3.0 * (angle - body.skew[1]))
    back, front = body.fat_mm
    fat = 0.5 * (back + front) - 0.5 * (front - back) * np.cos(angle) + 3.0 * np.cos(4.0 * angle + body.skew[1])
    canvas.paint(skin, 0.5 * tissue["muscle"])
    canvas.paint(skin - 2.0, tissue["fat"])
    canvas.paint(skin - 2.0 - fat, tissue["muscle"])
    layers = np.clip(skin - 2.0 - fat, 0.0, None)
    stripes = 0.3 * tissue["fat"] * np.clip(np.cos(2.2 * layers + 6.0 * np.cos(3.0 * angle)), 0.0, 1.0)
    canvas.paint(3.0 - np.abs(layers - 0.5 * body.muscle_mm), tissue["muscle"] + stripes)
    chest = skin - 2.0 - fat - body.muscle_mm
    turns = (angle / math.tau * 16.0 + body.rib_phase) % 1.0 - 0.5
    along = np.abs(turns) * math.tau / 16.0 * np.hypot(grid.x - centre[0], grid.y - centre[1])
    rib = 1.0 - np.hypot(along / 8.0, (chest + 4.0) / 4.5)
    canvas.paint(4.0 * rib, tissue["bone"])
    canvas.paint(4.0 * rib - 1.4, tissue["marrow"])
    canvas.paint(chest, tissue["lung"])
    return chest


def _paint_vessels(canvas: Canvas, anatomy: Anatomy, z_mm: float, moment: Moment, chest: Plane) -> None:
    vessels, grid = anatomy.body.vessels, canvas.grid
    shift = 0.5 * anatomy.body.breathing_mm * moment.drift
    for index in np.flatnonzero(np.abs(vessels.position[:, 2] - z_mm) < 5.0):
        x, y, _ = vessels.position[index]
        column, row = (round(c / grid.pixel_mm + (n - 1) / 2) for c, n in zip((x, y), grid.x.shape, strict=True))
        inside = 0 <= column < grid.x.shape[0] and 0 <= row < grid.x.shape[1] and chest[column, row] > 4.0
        if inside:
            canvas.disc((x, y + shift), float(vessels.radius_mm[index]), float(vessels.brightness[index]))


def _paint_mediastinum(canvas: Canvas, anatomy: Anatomy, z_mm: float, centre: Point) -> None:
    """Tissue between heart and spine, and the fat the heart lies in; thinner below the apex."""
    body, tissue, grid = anatomy.body, anatomy.tissue, canvas.grid
    spine = _spine(body)
    dx, dy = spine[0] - centre[0], spine[1] - centre[1]
    part = np.clip(((grid.x - centre[0]) * dx + (grid.y - centre[1]) * dy) / (dx * dx + dy * dy), 0.0, 1.0)
    distance = np.hypot(grid.x - centre[0] - part * dx, grid.y - centre[1] - part * dy)
    ripple = 4.0 * marbling(grid, 9.0, 0.1 * z_mm)
    canvas.paint(17.0 + ripple - distance, tissue["bed"])
    length = anatomy.heart.length_mm
    outer = anatomy.heart.cavity_mm + anatomy.heart.wall_mm
    shrink = 0.35 * max(0.0, z_mm - 0.5 * length) + 0.8 * max(0.0, z_mm - length)
    bed = (max(12.0, outer + 6.0 - shrink), max(9.0, outer - shrink))
    patches = 1.0 + 0.25 * marbling(grid, 4.0, 0.1 * z_mm)
    canvas.paint(ellipse_depth(grid, centre, bed, anatomy.heart.septum) + ripple, tissue["pad"] * patches)


def _paint_abdomen(canvas: Canvas, anatomy: Anatomy, z_mm: float, centre: Point, moment: Moment, chest: Plane) -> None:
    """What lies under a breathing diaphragm that rises towards the apex: fat, liver, stomach, spleen, bowel."""
    body, tissue, grid = anatomy.body, anatomy.tissue, canvas.grid
    height, width = body.dome
    rise = body.diaphragm_slope * (z_mm - 0.5 * anatomy.heart.length_mm)
    top = centre[1] + body.diaphragm_mm - rise + body.breathing_mm * moment.drift
    edge = centre[0] + body.liver_edge_mm
    dome = np.exp(-(((grid.x - edge + 30.0) / width) ** 2))
    depth = np.minimum(grid.y - top - height * (1.0 - dome), chest)
    canvas.paint(depth + 2.0, tissue["muscle"])
    canvas.paint(depth, tissue["pad"] * (0.85 + 0.3 * marbling(grid, 5.0, 0.1 * z_mm)))
    canvas.paint(np.minimum(depth, edge - grid.x + 0.3 * (grid.y - top)), tissue["liver"])
    below = (edge, top + height)
    _paint_liver_vessels(canvas, anatomy, z_mm, below, body.breathing_mm * moment.drift)
    _paint_stomach_and_bowel(canvas, anatomy, z_mm, below, depth)


def _paint_liver_vessels(canvas: Canvas, anatomy: Anatomy, z_mm: float, below: Point, shift_mm: float) -> None:
    """Branches in the liver, and the inferior vena cava; ``below`` is the liver's edge under the diaphragm."""
    vessels, tissue = anatomy.body.vessels, anatomy.tissue
    for index in np.flatnonzero(np.abs(vessels.position[:, 2] - z_mm) < 3.0):
        x, y, _ = vessels.position[index]
        if y > below[1] + 8.0 and x < below[0] - 6.0:
            canvas.disc((x, y + shift_mm), 1.3 * float(vessels.radius_mm[index]), 1.6 * tissue["liver"])
    canvas.tube((below[0] - 16.0, below[1] + 26.0), 10.0, 0.85 * tissue["rv_blood"], tissue["muscle"])


def _paint_stomach_and_bowel(canvas: Canvas, anatomy: Anatomy, z_mm: float, below: Point, depth: Plane) -> None:
    tissue, grid = anatomy.tissue, canvas.grid
    long, short, content = anatomy.body.stomach
    middle = (below[0] + 10.0 + long, below[1] + short)
    canvas.paint(np.minimum(ellipse_depth(grid, middle, (long + 3.5, short + 3.5), 0.3), depth + 1.0), tissue["wall"])
    canvas.paint(np.minimum(ellipse_depth(grid, middle, (long, short), 0.3), depth - 2.0), content)
    spleen = (middle[0] + long + 14.0, middle[1] + 12.0)
    canvas.paint(np.minimum(ellipse_depth(grid, spleen, (24.0, 13.0), 1.1), depth), tissue["spleen"])
    for loop in range(6):  # bright and dark discs of the size of a ventricle
        row, column = divmod(loop, 3)
        x = middle[0] - 20.0 + 22.0 * column
        y = middle[1] + 36.0 + 24.0 * row + 5.0 * math.sin(loop + z_mm)
        canvas.tube((x, y), 7.0 + 2.0 * math.sin(2.0 * loop + 0.2 * z_mm), (0.9, 0.5, 0.15)[column], tissue["wall"])


def _spine(body: Body) -> Point:
    reach = 0.66
    return (
        body.centre[0] + reach * body.half_axes[0] * math.cos(body.spine_angle),
        body.centre[1] + reach * body.half_axes[1] * math.sin(body.spine_angle),
    )


def _paint_back(canvas: Canvas, anatomy: Anatomy, moment: Moment) -> None:
    """Muscle of the back, a vertebra with its canal, and the descending aorta before it."""
    body, tissue, grid = anatomy.body, anatomy.tissue, canvas.grid
    x, y = _spine(body)
    out = (math.cos(body.spine_angle), math.sin(body.spine_angle))
    canvas.paint(
        ellipse_depth(grid, (x + 14 * out[0], y + 14 * out[1]), (44.0, 28.0), body.spine_angle + 1.57),
        1.1 * tissue["muscle"],
    )
    canvas.paint(ellipse_depth(grid, (x, y), (17.0, 20.0), body.spine_angle), tissue["bone"])
    canvas.paint(ellipse_depth(grid, (x, y), (15.0, 18.0), body.spine_angle), tissue["marrow"])
    canal = (x + 23.0 * out[0], y + 23.0 * out[1])
    canvas.tube(canal, 7.5, tissue["fluid"], tissue["bone"])
    canvas.disc(canal, 4.0, tissue["spleen"])
    place = (x - 27.0 * out[0] + 9.0 * out[1], y - 27.0 * out[1] - 9.0 * out[0])
    canvas.tube(place, body.aorta_mm * (1.0 + 0.09 * moment.contraction), tissue["blood"], tissue["wall"])


def _paint_great_vessels(canvas: Canvas, anatomy: Anatomy, centre: Point, above_mm: float, moment: Moment) -> None:
    """Above the base: two atria behind the aortic root and the pulmonary artery, thin walled and pulsating."""
    heart, tissue = anatomy.heart, anatomy.tissue
    aorta, pulmonary, left, right = anatomy.body.great_vessels
    shrink = max(0.55, 1.0 - above_mm / 90.0)
    fill = 1.0 + 0.12 * moment.contraction
    side, down = math.cos(heart.septum), math.sin(heart.septum)

    def place(along: float, across: float) -> Point:
        return centre[0] + along * side - across * down, centre[1] + along * down + across * side

    flat = anatomy.body.atrium_flatness
    for middle, radius, content, turn in (
        (place(-18.0, -6.0), left * shrink * fill, tissue["blood"], heart.septum + 1.2),
        (place(25.0, -14.0), right * shrink * fill, tissue["rv_blood"], heart.septum + 1.9),
    ):
        depth = ellipse_depth(canvas.grid, middle, (radius / flat, radius * flat), turn)
        canvas.paint(depth + 2.0, tissue["wall"])
        canvas.paint(depth, content)
    beat = 1.0 + 0.08 * moment.contraction
    canvas.tube(place(20.0, 19.0), pulmonary * beat, tissue["rv_blood"], tissue["wall"])
    canvas.tube(place(2.0, 3.0), aorta * beat, 1.05 * tissue["blood"], tissue["wall"])


def _paint_atrium_beside(canvas: Canvas, anatomy: Anatomy, section: HeartSection, moment: Moment) -> None:
    """Where the RV starts lower than the LV, the right atrium lies beside the wall."""
    radius = 0.8 * anatomy.body.great_vessels[3] * (1.0 + 0.15 * moment.contraction)
    reach = section.outer_mm + radius + 3.0
    place = (section.centre[0] + reach * math.cos(section.septum), section.centre[1] + reach * math.sin(section.septum))
    canvas.tube(place, radius, anatomy.tissue["rv_blood"], anatomy.tissue["wall"])


def _paint_heart(canvas: Canvas, anatomy: Anatomy, section: HeartSection, z_mm: float, moment: Moment) -> None:
    """RV within its thin wall, the muscular ring, the cavity and its papillary muscles."""
    tissue, grid = anatomy.tissue, canvas.grid
    rv, outer = section.rv_depth(grid.x, grid.y), section.outer_depth(grid.x, grid.y)
    # Near the apex a slice of some millimetres cuts the tapering wall at a slant: edges are wide.
    edge = 4.0 * max(0.0, z_mm / anatomy.heart.length_mm) ** 3
    fringe = 3.0 * marbling(grid, 6.0, 0.1 * z_mm)
    canvas.paint(np.maximum(rv + 6.0, outer + 4.0) + fringe, tissue["pad"])
    canvas.paint(rv + 2.5, tissue["wall"])
    trabeculae = 0.12 * np.clip(marbling(grid, 2.0, 0.2 * z_mm), 0.0, 1.0)
    canvas.paint(rv, tissue["rv_blood"] - trabeculae, edge_mm=edge)
    canvas.paint(outer, tissue["myocardium"], edge_mm=edge)
    cavity = section.cavity_depth(grid.x, grid.y)
    canvas.paint(cavity, tissue["blood"], edge_mm=edge)
    if 0.2 < z_mm / anatomy.heart.length_mm < 0.85:
        _paint_papillary_muscles(canvas, anatomy, section, moment)


def _paint_papillary_muscles(canvas: Canvas, anatomy: Anatomy, section: HeartSection, moment: Moment) -> None:
    size, reach = 0.15 * section.cavity_mm + 1.0 + 0.5 * moment.contraction, 0.68 * section.cavity_mm
    for angle in anatomy.heart.papillary_angles:
        twisted = angle + 0.15 * moment.contraction
        place = (section.centre[0] + reach * math.cos(twisted), section.centre[1] + reach * math.sin(twisted))
        canvas.disc(place, size, 1.1 * anatomy.tissue["myocardium"])
