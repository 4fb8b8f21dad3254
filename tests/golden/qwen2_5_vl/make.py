"""Makes the files of this folder.

    python make.py SHARED        # SHARED holds tied/ and untied/, as ../shared/golden/qwen2_5_vl does

tied/, untied/: copies of SHARED, compressed: the model, and of each case the ids and positions; of the cases below also pixels and results. Gradients are
left out.

mixed/: a model and a case made here with transformers 5.17 and torch 2.13: pictures of odd sizes and two videos of different seconds per grid between
texts, computed in float64 from float32 weights and pixels, and rounded to float32 at the end. Its weights are small, so that a float32 pass keeps six digits; those
of tied/ and untied/ are so large that the float32 gradients there differ from float64 ones by up to 6e-4.
"""

import gzip
import json
import pathlib
import shutil
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).parent
WHOLE = {"tied": ["two_images", "video", "text_only"], "untied": ["two_images", "text_only"]}
ALWAYS = ["input_ids", "position_ids", "greedy_ids", "image_grid_thw", "video_grid_thw", "second_per_grid_ts"]
LEFT_OUT = ["grad.", "attention_per_layer", "attention_mean"]


def compress(source, target):
    # No time in the header: the same input gives the same bytes.
    target.write_bytes(gzip.compress(source.read_bytes(), 9, mtime=0))


def copy(shared):
    for name, whole in WHOLE.items():
        out = HERE / name
        out.mkdir(exist_ok=True)
        for file in ["config.json", "generation_config.json", "cases.json"]:
            shutil.copyfile(shared / name / file, out / file)
            (out / file).chmod(0o644)
        compress(shared / name / "model.safetensors", out / "model.safetensors.gz")
        kept = {}
        for key, tensor in load_file(shared / name / "cases.safetensors").items():
            case, rest = key.split("/", 1)
            if rest in ALWAYS or (case in whole and not any(rest.startswith(each) for each in LEFT_OUT)):
                kept[key] = tensor
        with tempfile.TemporaryDirectory() as folder:
            save_file(kept, f"{folder}/cases.safetensors")
            compress(pathlib.Path(folder) / "cases.safetensors", out / "cases.safetensors.gz")


def mixed():
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    image, video, start, end, eos = 60, 61, 62, 63, 59
    config = Qwen2_5_VLConfig(
        text_config=dict(
            vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            max_position_embeddings=512, rms_norm_eps=1e-2, tie_word_embeddings=True, bos_token_id=eos, eos_token_id=eos, pad_token_id=eos,
            rope_parameters=dict(rope_type="default", rope_theta=10000.0, mrope_section=[2, 1, 1]),
        ),
        vision_config=dict(
            depth=3, hidden_size=32, intermediate_size=40, num_heads=2, out_hidden_size=32, patch_size=4, window_size=24,
            fullatt_block_indexes=[1], tokens_per_second=3, spatial_merge_size=2, temporal_patch_size=2, in_channels=3,
        ),
        image_token_id=image, video_token_id=video, vision_start_token_id=start, vision_end_token_id=end, tie_word_embeddings=True,
    )
    generator = torch.Generator().manual_seed(20)
    model = Qwen2_5_VLForConditionalGeneration._from_config(config, attn_implementation="eager", dtype=torch.float32).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=generator)
            if p.ndim > 1:
                p.copy_(noise * p[0].numel() ** -0.5)
            else:
                p.copy_((1.0 if "norm" in name or "ln_q" in name else 0.0) + 0.1 * noise)
    out = HERE / "mixed"
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        compress(pathlib.Path(folder) / "model.safetensors", out / "model.safetensors.gz")
        for file in ["config.json", "generation_config.json"]:
            if (pathlib.Path(folder) / file).exists():
                shutil.copyfile(f"{folder}/{file}", out / file)
    model = model.double()

    # Wider than windows of 3 x 3 merged tokens with ragged edges, smaller than one, and exactly one.
    images, videos, seconds = [(1, 8, 14), (1, 2, 4)], [(3, 6, 4), (2, 6, 6)], [2.5, 0.75]
    words = lambda n: torch.randint(0, 59, (n,), generator=generator).tolist()
    pad = lambda token, grid: [start] + [token] * (grid[0] * grid[1] * grid[2] // 4) + [end]
    prompt = words(3) + pad(image, images[0]) + words(2) + pad(video, videos[0]) + pad(image, images[1]) + words(1) + pad(video, videos[1])
    prompt += words(10)
    ids = torch.tensor([prompt + words(9)])
    patches = lambda grids: torch.randn(sum(t * h * w for t, h, w in grids), 96, generator=generator)
    pixels, frames = patches(images), patches(videos)
    grids = dict(image_grid_thw=torch.tensor(images), video_grid_thw=torch.tensor(videos))
    types = (ids == image).int() + 2 * (ids == video).int()
    positions, _ = model.model.get_rope_index(ids, mm_token_type_ids=types, second_per_grid_ts=torch.tensor(seconds), **grids)
    embed = lambda x, grid: model.model.visual(x.double(), grid_thw=grid).pooler_output
    results = model(
        input_ids=ids, position_ids=positions, pixel_values=pixels.double(), pixel_values_videos=frames.double(), output_attentions=True, **grids
    )
    split = len(prompt)
    distribution = torch.log_softmax(results.logits[0, split - 1 : -1], -1)
    logprobs = distribution.gather(1, ids[0, split:, None])[:, 0]
    (-logprobs.mean()).backward()
    tensors = {
        "input_ids": ids[0].int(), "position_ids": positions[:, 0].int(), "pixel_values": pixels, "pixel_values_videos": frames,
        "image_grid_thw": torch.tensor(images).int(), "video_grid_thw": torch.tensor(videos).int(),
        "second_per_grid_ts": torch.tensor(seconds), "logits": results.logits[0], "response_logprobs": logprobs,
        "entropy": -(distribution.exp() * distribution).sum(-1),
        "image_embeds": embed(pixels, grids["image_grid_thw"]), "video_embeds": embed(frames, grids["video_grid_thw"]),
        "attention": torch.cat(results.attentions),
    }
    for name, p in model.named_parameters():
        tensors["grad." + name.replace("model.visual.", "visual.").replace("model.language_model.", "model.")] = p.grad
    tensors = {f"mixed/{key}": (t.float() if t.is_floating_point() else t).detach().contiguous() for key, t in tensors.items()}
    with tempfile.TemporaryDirectory() as folder:
        save_file(tensors, f"{folder}/cases.safetensors")
        compress(pathlib.Path(folder) / "cases.safetensors", out / "cases.safetensors.gz")
    lengths = dict(prompt_length=split, length=ids.shape[1], loss=-logprobs.mean().item())
    (out / "cases.json").write_text(json.dumps({"mixed": lengths}, indent=1) + "\n")


if __name__ == "__main__":
    copy(pathlib.Path(sys.argv[1]))
    mixed()
