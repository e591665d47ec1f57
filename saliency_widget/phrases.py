"""Templates of the scripts of :mod:`saliency_widget.script`, in step with `drawing.py` and `maps.py`."""

from __future__ import annotations

SINGLE = """\
{names}found = saliency.explain(
    {arguments},
    progress=False,
)

{body}
figure, axes = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
{show}"""

SEVERAL = """\
cells = [
{calls}]

figure, grid = plt.subplots({rows}, {columns}, figsize={size}, layout="constrained", squeeze=False)
for axes, (name, found) in zip(grid.flat, cells):
{body}
for axes in grid.flat[len(cells):]:
    axes.set_axis_off()
"""

SHOW = """\
axes.imshow(np.rint(shown).astype(np.uint8))
axes.autoscale(False)
{lines}axes.set_title({title}, fontsize="small", parse_math=False)
axes.set_axis_off()
"""

AREA = """\
{kept}
light = replace(found, mask=kept.astype(np.float32)).on_picture(smooth=False) > 0.5
shown = np.where(light[..., None], found.picture, found.picture + (np.array({shade}) - found.picture) * {opacity})
"""

KEEP = "values = {values}\nkept = values >= np.float32(np.percentile(values, {percentile}))"

NEAREST = """\
nearest = np.argmin([abs(each.cumulative - {share}) for each in found.regions.table])
kept, last = found.regions.ranks <= nearest, found.regions.ranks == nearest"""

RUNS = "{name} = np.repeat(np.arange({count}) % 2 == 1, {runs}).reshape({shape})"

DEFLATED = """\
{name} = np.unpackbits(np.frombuffer(zlib.decompress(base64.b85decode("{text}")), np.uint8), count={count})
{name} = {name}.astype(bool).reshape({shape})"""

HEAT = """\
values, strength, low, high = measured(found, {sign})
{shared}share = np.clip((values - low) / (high - low), 0, 1)
{gamma}colours = plt.get_cmap({colormap})(share)
colours[strength < np.float32(np.percentile(strength, {threshold})), 3] = 0
colours = replace(found, mask=colours.astype(np.float32)).on_picture(smooth={smooth})
{crop}grey = (found.picture @ np.array({luma}))[..., None]
shown = grey + (colours[..., :3] * 255 - grey) * colours[..., 3:] * {opacity}
"""

GAMMA = {
    "unsigned": "share = share ** {gamma}\n",
    "signed": "share = (1 + np.sign(2 * share - 1) * np.abs(2 * share - 1) ** {gamma}) / 2\n",
    "either": """\
bent = (1 + np.sign(2 * share - 1) * np.abs(2 * share - 1) ** {gamma}) / 2
share = bent if found.sign == "signed" else share ** {gamma}
""",
}
"""Gamma of the colour scale; of a signed one on both sides of zero."""

SHARED = """\
ends = np.array([measured(each, {each})[2:] for _, each in cells{alike}])
low, high = ends[:, 0].min(), ends[:, 1].max()
"""

CROP = """\
seen = replace(found, mask=np.ones(found.mask.shape[:2], np.float32)).on_picture(smooth=False) > 0.5
colours = np.where(seen[..., None], colours, np.array({shade}) / 255)
"""

WHAT_IF = """
# the model's prediction for the selection only, and with the selection removed
only, without = saliency.what_if(model, img, kept, {fill!r}{options})
"""

CHECKS = """
# whether the model supports the map: the effect of its pixels, compared with random maps
"""

CHECK = "print(saliency.check({arguments}, progress=False))\n"

CHANGES = """
# the smallest set of segments without which the answer changes ("remove"), or that is enough for it ("keep")
"""

CHANGE = "print(saliency.counterfactual({arguments}, progress=False))\n"

CHANNELS = """
# the channels of a layer by their attribution, and the map of the first one on the picture
"""

CHANNEL = """\
by_channel = saliency.explain({arguments}, progress=False)
print(by_channel.channels)
first = by_channel.channel(by_channel.channels[0].index)
"""

CONCEPTS = """
# the concepts on which the score depends: the sensitivity to each, with the band of random sets
"""

CONCEPT = """\
{regions}tcav = saliency.concepts.TCAV(
    {model},
    {concepts},
    random={random},
    layers={layer!r},
{options})
print(tcav.scores([{image}], {target!r}))
"""

CONCEPT_MAP = "concept_map = tcav.maps({image}, {target!r})[0].on_picture()\n"

EXAMPLES = """
# the training images for and against the answer, with what they share with the picture
"""

EXAMPLE = """\
influence = {index}.explain({arguments})
print(influence)
influence.plot()
"""

MEASURED = '''\
def measured(found, sign):
    """Return the coloured values, those compared with the percentile, and the ends of the colour scale."""
    mask = np.atleast_3d(found.mask)
    summed, magnitude = mask.sum(2), np.abs(mask).sum(2)
    values = magnitude if sign == "absolute" else summed
    strength = summed if sign == "positive" else magnitude
    low, top = max(0.0, strength.min()), np.percentile(strength, 99)
    top = top if top > low else strength.max()
    if sign == "signed":
        return values, strength, -(top or 1.0), top or 1.0
    return values, strength, low, top if top > low else low + 1
'''

AT = '''\
def at(found, cells, border):
    """Return the positions (x, y) in the picture of the cells of a map."""
    inside = np.indices(cells.shape) - border
    y, x = np.tensordot(found.placement[:, :2], inside, 1) + found.placement[:, 2, None, None]
    return x, y
'''

OUTLINE = '''\
def outline(axes, found, cells, colour):
    """A line round cells; one so long that it would hide what it goes round fades out."""
    padded = np.pad(cells.astype(float), 1)
    sides = sum(np.count_nonzero(np.diff(padded, axis=axis)) for axis in (0, 1))
    alpha = np.clip(2 - sides / ({longest} * sum(cells.shape)), 0, 1)
    if cells.any() and alpha > 0:
        axes.contour(*at(found, padded, 1), padded, [0.5], colors=[colour], linewidths=1, alpha=alpha)
'''

CONTOURS = '''\
def contours(axes, found, values, low, high):
    """Lines at quarters of the colour scale, of the map without its finest grain; blue ones below zero."""
    size = 2 * int(max(values.shape) / {grain} + 0.5) + 1
    sums = uniform_filter(values.astype(float), size, mode="constant")
    soft = sums / uniform_filter(np.ones(values.shape), size, mode="constant")
    shares = (-0.75, -0.5, -0.25, 0.25, 0.5, 0.75) if low < 0 else (0.25, 0.5, 0.75)
    for share in shares:
        level = share * high if low < 0 else low + share * (high - low)
        if soft.min() < level < soft.max():
            colour = "{cold}" if share < 0 else "white"
            axes.contour(*at(found, soft, 0), soft, [level], colors="black", linewidths=1.9, alpha=0.45)
            axes.contour(*at(found, soft, 0), soft, [level], colors=[colour], linewidths=0.9, linestyles="solid")
'''
