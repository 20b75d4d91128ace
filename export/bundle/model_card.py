"""The bundle's README.md: a model card for the person who puts the model into an app."""

from __future__ import annotations

from export.bundle.manifest import Accuracy, CalibrationInfo, Manifest, Parity, QuantizationSearch, StructureCheck

CARD_NAME = "README.md"

# target -> how an app runs it, to be filled with the model's name and sizes; `_plain_use` says it for other targets.
_HOW_TO_RUN = {
    "torchscript": """```python
torch.backends.quantized.engine = "qnnpack"  # int8; "onednn" on x86 with AVX512-VNNI: others saturate
module = torch.jit.load("{model}").eval()
descriptor = module(pixels)  # (1, 3, {size}, {size}) float32 0..255 -> (1, {dim})
```""",
    "onnx": """```python
options = onnxruntime.SessionOptions()
# For int8 on x86 without AVX512-VNNI, whose sums saturate else; with it, leave this out: it halves the speed.
options.add_session_config_entry("session.x64quantprecision", "1")
session = onnxruntime.InferenceSession("{model}", options)
(descriptor,) = session.run(["descriptor"], {{"pixels": pixels}})  # (1, 3, {size}, {size}) float32 0..255
```""",
    "coreml": """```swift
let model = try MLModel(contentsOf: compiledURL)  // Xcode compiles {model} in the app's bundle
let input = try MLDictionaryFeatureProvider(dictionary: ["pixels": MLFeatureValue(pixelBuffer: pixelBuffer)])
let descriptor = try model.prediction(from: input).featureValue(for: "descriptor")!.multiArrayValue!
```""",
    "tflite": """```kotlin
val interpreter = Interpreter(modelFile)  // {model}
interpreter.run(pixels, descriptor)  // float32 [1][{size}][{size}][3], 0..255 -> float32 [1][{dim}]
```""",
    "executorch": """```kotlin
val module = Module.load(path)  // {model}
val descriptor = module.forward(EValue.from(pixels))[0].toTensor()  // pixels: float32 (1, 3, {size}, {size}), 0..255
```""",
}


def model_card(manifest: Manifest) -> str:
    """Markdown from the manifest alone; every figure with its evidence word."""
    student, parity = manifest.student, manifest.parity
    how_to_run = (
        _HOW_TO_RUN[manifest.target].format(
            model=manifest.model_path, size=manifest.pixels.size_px, dim=student.descriptor_dim
        )
        if manifest.target in _HOW_TO_RUN
        else _plain_use(manifest)
    )
    calibration = manifest.quantization.calibration
    calibrated = _calibrated(calibration) if calibration else "none needed"
    cosine = (
        f"least cosine {parity.cosine_min:.6f}, mean {parity.cosine_mean:.6f} "
        f"({parity.evidence}, {parity.reason}; bar {parity.bar_cosine_min})"
        if parity.cosine_min is not None
        else f"not measured ({parity.reason})"
    )
    return f"""# {manifest.name}

Image copy detection: one image in, one L2-normalised descriptor of {student.descriptor_dim} numbers out. Two images are
copies of each other when the inner product of their descriptors is high.

State: **{manifest.state}**

## Use

{how_to_run}

Pixels: {manifest.pixels.color}, {manifest.pixels.value_range[0]}..{manifest.pixels.value_range[1]}, the whole image \
squeezed to {manifest.pixels.size_px} x {manifest.pixels.size_px}
({manifest.pixels.resize}). Normalise nothing: mean, std and the division by 255 are inside the graph.

Check your app with `golden/`: each `NAME.source.png`, resized by your code, should come close to `NAME.pixels.png`, and
`NAME.pixels.png` should give the `artifact_descriptor` in `golden/descriptors.json` {_golden(parity)}.

## Facts

| | |
|---|---|
| target, precision | {manifest.target}, {manifest.precision} |
| model | `{manifest.model_path}`, {manifest.model_bytes:,} bytes |
| student | {student.name}, D = {student.descriptor_dim}, pooling {student.pooling} |
| trunk weights | {student.trunk} |
| teacher | {student.teacher or "none"} |
| recipe | {student.recipe} |
| trained or fitted on | {student.data} |
| small by | {manifest.quantization.recipe} |
| kept in float | {manifest.quantization.float_parts} |
| calibration | {calibrated} |
| micro-AP budget | {_search(manifest.quantization.search)} |
| parity with the checkpoint | {cosine} |
| taken by a phone's backends | {_structure(manifest.structure)} |
| micro-AP, recall@P90, threshold@P90 | {_accuracy(manifest.accuracy)} |
| licence | {manifest.licence} |

Parity says that the artifact computes what the checkpoint computes; micro-AP says whether it detects copies.

## Threshold

{_threshold(manifest.accuracy)}
"""


def _plain_use(manifest: Manifest) -> str:
    """What any runtime of the target is to be handed and gives back, where no code stands in `_HOW_TO_RUN`."""
    (pixels,), (descriptor,) = manifest.inputs, manifest.outputs
    given = f"`{pixels.name}`, {pixels.dtype} {pixels.shape} ({pixels.layout})"
    return (
        f"Open `{manifest.model_path}` with your {manifest.target} runtime and hand it {given}.\n"
        f"It gives `{descriptor.name}`, {descriptor.dtype} {descriptor.shape}."
    )


def _calibrated(calibration: CalibrationInfo) -> str:
    views = f"{calibration.num_views} views of {calibration.num_images} images ({calibration.source})"
    return f"{views}, none of them in {' or '.join(calibration.disjoint_from)}" if calibration.disjoint_from else views


def _structure(checks: tuple[StructureCheck, ...] | None) -> str:
    if checks is None:
        return "not measured (exported before this was looked at)"
    return "; ".join(check.line() for check in checks) or "none: its runtime keeps the whole graph to itself"


def _search(search: QuantizationSearch | None) -> str:
    if search is None:
        return "none was searched for"
    return (
        f"drop {search.drop:.4f} of {search.max_drop:g} allowed, {search.cross_drop:.4f} of {search.max_cross_drop:g} "
        f"against fp32 references ({search.evidence} on {search.validation.name}, "
        f"{search.validation.num_pairs} pairs); {search.int8_mac_share:.1%} of the multiply-accumulates in int8"
    )


def _golden(parity: Parity) -> str:
    """What an app's descriptor can be expected to be to the golden one."""
    if parity.evidence == "reference":
        return "closely and not\nexactly: it was computed by a reference evaluator"
    return "(where that is null, the artifact\nwas not run when it was made: compare with `checkpoint_descriptor`)"


def _accuracy(accuracy: Accuracy) -> str:
    if accuracy.micro_ap is None or accuracy.recall_at_p90 is None or accuracy.threshold_at_p90 is None:
        return accuracy.evidence
    figures = f"{accuracy.micro_ap:.3f}, {accuracy.recall_at_p90:.3f}, {accuracy.threshold_at_p90:.4f}"
    return f"{figures} ({accuracy.evidence} on {accuracy.dataset}, {accuracy.runtime}, {accuracy.device})"


def _threshold(accuracy: Accuracy) -> str:
    """What an app compares inner products with, and how far that figure can be trusted."""
    measure = """```
python -m bench run --bundle THIS_FOLDER --dataset YOUR_PICTURES --write-threshold
```"""
    if accuracy.threshold_at_p90 is None or accuracy.recall_at_p90 is None:
        return f"""None was measured. Choose yours on your own pictures; this writes it here and into `manifest.json`:

{measure}"""
    return f"""Call two images copies when the inner product of their descriptors is \
**{accuracy.threshold_at_p90:.4f}** or more: on {accuracy.dataset}
nine of ten pairs that reach it were copies, and {accuracy.recall_at_p90:.1%} of all copies reached it \
({accuracy.evidence}).

An app reads the unrounded figure as `accuracy.threshold_at_p90` in `manifest.json`. It is this artifact's own: another
target or precision has another.

Pictures unlike those, or more references, need another threshold, usually a higher one. Measure it on your own:

{measure}"""
