"""A model of random weights in transformers: what it computes, and how long it takes, for bench/gpu_check.ts.

usage: transformers_peer.py DIR --device cuda|cpu --tokens N

Reads DIR/model/config.json and DIR/inputs.safetensors (bench/gpu/inputs.ts). Writes the weights in bfloat16 to DIR/model, and to DIR/reference.safetensors, by
"float32." and "bfloat16." of the type of the computation: logits and log-probs of the first prompt's first answer, and six gradients of their sum. The weights are
the same in both. Prints lines as bench/gpu/lines.ts does: seconds of a forward and backward over all answers, and of a generation.
"""
import argparse, json, statistics, time
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, Qwen2_5_VLForConditionalGeneration

parser = argparse.ArgumentParser()
parser.add_argument("dir")
parser.add_argument("--device", default="cuda")
parser.add_argument("--tokens", type=int, default=64, help="new tokens of the generation")
a = parser.parse_args()
torch.manual_seed(0)
config = AutoConfig.from_pretrained(f"{a.dir}/model")
image = config.image_token_id
with safe_open(f"{a.dir}/inputs.safetensors", "pt") as f:
    inputs = {key: f.get_tensor(key) for key in f.keys()}
count = sum(key.startswith("tokens.") for key in inputs)
with torch.device(a.device):
    model = Qwen2_5_VLForConditionalGeneration._from_config(config, attn_implementation="sdpa", dtype=torch.bfloat16)
model.save_pretrained(f"{a.dir}/model")
middle = (getattr(config, "text_config", config).num_hidden_layers) // 2
SIX = ["embed_tokens.weight", "layers.0.self_attn.o_proj.weight", f"layers.{middle}.mlp.down_proj.weight", "language_model.norm.weight",
       "visual.blocks.0.attn.qkv.weight", "visual.patch_embed.proj.weight"]


def synchronize():
    if a.device == "cuda":
        torch.cuda.synchronize()


def arguments(ids, patches, pictures):
    side = round((patches.shape[0] / pictures) ** 0.5)
    grid = torch.tensor([[1, side, side]] * pictures, device=ids.device)
    marks = (ids == image).int()
    return dict(input_ids=ids, attention_mask=torch.ones_like(ids), mm_token_type_ids=marks, image_grid_thw=grid,
                pixel_values=patches.to(ids.device, model.dtype))


def rows(i):
    """Prompt i before each of its answers, and its patches as often."""
    prompt, answers = inputs[f"tokens.{i}"].long(), inputs[f"answers.{i}"].long()
    ids = torch.cat([prompt[None].expand(len(answers), -1), answers], 1).to(a.device)
    return ids, inputs[f"patches.{i}"].repeat(len(answers), 1), len(answers), answers.shape[1]


def logprobs(ids, patches, pictures, length):
    logits = model(**arguments(ids, patches, pictures), use_cache=False, logits_to_keep=length + 1).logits[:, :-1]
    return logits, torch.log_softmax(logits.float(), -1).gather(-1, ids[:, -length:, None])[..., 0]


def seconds(run, rounds=5):
    run()
    times = []
    for _ in range(rounds):
        synchronize()
        start = time.perf_counter()
        run()
        synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


results = {}
for name in ["bfloat16", "float32"]:
    model.to(getattr(torch, name))
    ids, patches, answers, length = rows(0)
    logits, values = logprobs(ids[:1], patches[: len(patches) // answers], 1, length)
    values.sum().backward()
    results[f"{name}.logits"] = logits[0].detach().float().cpu()
    results[f"{name}.logprobs"] = values[0].detach().cpu()
    for key, parameter in model.named_parameters():
        if any(key.endswith(end) for end in SIX):
            results[f"{name}.grad.{key}"] = parameter.grad.float().cpu()
    model.zero_grad()
save_file({key: value.contiguous() for key, value in results.items()}, f"{a.dir}/reference.safetensors")
model.to(torch.bfloat16)


def update():
    for i in range(count):
        logprobs(*rows(i))[1].sum().backward()
    model.zero_grad()


def generate():
    for i in range(count):
        ids, patches, answers, length = rows(i)
        with torch.no_grad():
            model.generate(**arguments(ids[:, :-length], patches, answers), do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=a.tokens,
                           min_new_tokens=a.tokens, pad_token_id=0)


for name, run in [("forward and backward", update), ("generation", generate)]:
    print(json.dumps({"name": f"transformers: {name}", "value": seconds(run, 3), "unit": "s"}), flush=True)
