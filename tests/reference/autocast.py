"""Writes autocast.def beside itself: the dtypes that PyTorch's ops return under torch.autocast("cuda", bfloat16), for
tests/autocast.c. Fake tensors stand for the GPU's, so none is needed. Run it again only to add ops; the results are
part of the repository.

    python3 tests/reference/autocast.py          (needs PyTorch; made with 2.15)

a and b are [4, 4], between 0.1 and 1.1, in four pairs of dtypes; "-" stands where PyTorch takes no such pair."""
import os

import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

HERE = os.path.dirname(os.path.abspath(__file__))
HEAD = f"/* Written by tests/reference/autocast.py with PyTorch {torch.__version__.split('+')[0]}; not to be edited. */\n"
LOW = torch.bfloat16
NAMES = {torch.float32: "f32", LOW: "bf16"}
PAIRS = [(torch.float32, torch.float32), (LOW, torch.float32), (torch.float32, LOW), (LOW, LOW)]
ROWS = []


def row(name, c, f, refused=()):
    """refused: pairs that real tensors are not taken in."""
    ROWS.append((name, c, f, refused))


def index(t):
    return torch.zeros(4, dtype=torch.long, device=t.device)


def first(results):
    return results[0] if isinstance(results, tuple) else results


def one(names, where):
    for n in names.split():
        row(n, f"tern_{n}(a)", lambda a, b, n=n: getattr(where, n)(a))


one("exp expm1 exp2 log log2 log10 log1p sin cos tan asin acos sinh cosh tanh asinh atan erf erfc erfinv lgamma digamma sqrt "
    "rsqrt reciprocal square sigmoid relu abs neg frac", torch)
one("logsigmoid gelu silu mish softplus softsign selu hardswish hardsigmoid relu6", F)
row("leaky_relu", "tern_leaky_relu(a, 0.1)", lambda a, b: F.leaky_relu(a, 0.1))
row("elu", "tern_elu(a, 1)", lambda a, b: F.elu(a))
row("softplus_beta", "tern_softplus_beta(a, 2, 20)", lambda a, b: F.softplus(a, 2, 20))
row("clamp", "tern_clamp(a, 0.2, 0.5)", lambda a, b: a.clamp(0.2, 0.5))
row("add_scalar", "tern_add_scalar(a, 0.3)", lambda a, b: a + 0.3)
row("pow_scalar", "tern_pow_scalar(a, 0.3)", lambda a, b: a ** 0.3)
row("glu", "tern_glu(a, -1)", lambda a, b: F.glu(a))
row("dropout", "tern_dropout(a, 0.5)", lambda a, b: F.dropout(a))
for n in "add sub mul div pow fmod remainder floor_divide maximum minimum atan2 hypot logaddexp xlogy copysign".split():
    row(n, f"tern_{n}(a, b)", lambda a, b, n=n: getattr(torch, n)(a, b))
row("addcmul", "tern_addcmul(a, b, b, 0.5)", lambda a, b: torch.addcmul(a, b, b))
row("addcdiv", "tern_addcdiv(a, b, b, 0.5)", lambda a, b: torch.addcdiv(a, b, b))
row("lerp_scalar", "tern_lerp_scalar(a, b, 0.5)", lambda a, b: torch.lerp(a, b, 0.5))
row("where", "tern_where(tern_gt(a, b), a, b)", lambda a, b: torch.where(a > b, a, b))

for n in ("softmax", "log_softmax", "softmin"):
    row(n, f"tern_{n}(a, -1)", lambda a, b, n=n: getattr(F, n)(a, -1))
row("gumbel_softmax", "tern_gumbel_softmax(a, -1, 1, false)", lambda a, b: F.gumbel_softmax(a))
for n in "sum mean prod nansum nanmean".split():
    row(n, f"tern_{n}(a, NULL, 0, false)", lambda a, b, n=n: getattr(torch, n)(a))
row("sum_rows", "tern_sum(a, (const int[]){0}, 1, false)", lambda a, b: a.sum(0))
for n in "cumsum cumprod".split():
    row(n, f"tern_{n}(a, 0)", lambda a, b, n=n: getattr(torch, n)(a, 0))
for n in "var std".split():
    row(n, f"tern_{n}(a, NULL, 0, 1, false)", lambda a, b, n=n: getattr(torch, n)(a))
row("logsumexp", "tern_logsumexp(a, (const int[]){0}, 1, false)", lambda a, b: torch.logsumexp(a, 0))
row("norm", "tern_norm(a, 2, NULL, 0, false)", lambda a, b: torch.linalg.vector_norm(a))
row("matrix_norm", "tern_matrix_norm(a, TERN_NORM_FRO, false)", lambda a, b: torch.linalg.matrix_norm(a))
row("max", "tern_max(a, NULL, 0, false)", lambda a, b: a.max())
row("median", "tern_median(a, 0, false, NULL)", lambda a, b: a.median(0)[0])
row("sort", "tern_sort(a, 0, false, NULL)", lambda a, b: a.sort(0)[0])
row("trace", "tern_trace(a)", lambda a, b: torch.trace(a))

row("layer_norm", "tern_layer_norm(a, 1, row0(b), row0(b), 0)", lambda a, b: F.layer_norm(a, (4,), b[0], b[0]))
row("rms_norm", "tern_rms_norm(a, 1, row0(b), 0)", lambda a, b: F.rms_norm(a, (4,), b[0]))
row("group_norm", "tern_group_norm(as3(a), 2, row0(b), row0(b), 0)", lambda a, b: F.group_norm(a[None], 2, b[0], b[0]))
row("batch_norm", "tern_batch_norm(a, row0(b), row0(b), NULL, NULL, (tern_batch_norm_opts){.training = true})",
    lambda a, b: F.batch_norm(a, None, None, b[0], b[0], True), refused=(2,))
row("instance_norm", "tern_instance_norm(as3(a), NULL, NULL, NULL, NULL, (tern_instance_norm_opts){0})",
    lambda a, b: F.instance_norm(a[None]))
row("local_response_norm", "tern_local_response_norm(as3(a), 2, (tern_local_response_norm_opts){0})",
    lambda a, b: F.local_response_norm(a[None], 2))
row("normalize", "tern_normalize(a, 1, (tern_normalize_opts){0})", lambda a, b: F.normalize(a))

for n in "matmul mm inner kron".split():
    row(n, f"tern_{n}(a, b)", lambda a, b, n=n: getattr(torch, n)(a, b))
row("bmm", "tern_bmm(as3(a), as3(b))", lambda a, b: torch.bmm(a[None], b[None]))
row("mv", "tern_mv(a, row0(b))", lambda a, b: torch.mv(a, b[0]))
row("dot", "tern_dot(row0(a), row0(b))", lambda a, b: torch.dot(a[0], b[0]))
row("outer", "tern_outer(row0(a), row0(b))", lambda a, b: torch.outer(a[0], b[0]))
row("addmm", "tern_addmm(a, b, b, 1, 1)", lambda a, b: torch.addmm(a, b, b))
row("baddbmm", "tern_baddbmm(as3(a), as3(b), as3(b), 1, 1)", lambda a, b: torch.baddbmm(a[None], b[None], b[None]))
row("addmv", "tern_addmv(row0(a), b, row0(b), 1, 1)", lambda a, b: torch.addmv(a[0], b, b[0]))
row("vecdot", "tern_vecdot(a, b, -1)", lambda a, b: torch.linalg.vecdot(a, b))
row("tensordot", "tern_tensordot(a, b, (const int[]){1}, (const int[]){0}, 1)", lambda a, b: torch.tensordot(a, b, 1))
row("einsum", 'tern_einsum("ij,jk->ik", (tern_tensor *[]){a, b}, 2)', lambda a, b: torch.einsum("ij,jk->ik", a, b))
row("multi_dot", "tern_multi_dot((tern_tensor *[]){a, b}, 2)", lambda a, b: torch.linalg.multi_dot([a, b]))
row("matrix_power", "tern_matrix_power(a, 2)", lambda a, b: torch.matrix_power(a, 2))
row("linear", "tern_linear(a, b, NULL)", lambda a, b: F.linear(a, b))
row("linear_bias", "tern_linear(a, b, row0(b))", lambda a, b: F.linear(a, b, b[0]))
row("prelu", "tern_prelu(a, row0(b))", lambda a, b: F.prelu(a, b[0]))
for d in (1, 2, 3):
    ones = ", 1" * (d - 1)
    for n in ("conv", "conv_transpose"):
        row(f"{n}{d}d", f"tern_{n}{d}d(tern_reshape(a, TERN_SHAPE(1, 4, 4{ones})), tern_reshape(b, TERN_SHAPE(4, 4, 1{ones})), "
            f"NULL, (tern_{n}{d}d_opts){{0}})",
            lambda a, b, n=n, d=d: getattr(F, f"{n}{d}d")(a.reshape(1, 4, 4, *[1] * (d - 1)), b.reshape(4, 4, 1, *[1] * (d - 1))))
row("scaled_dot_product_attention", "tern_scaled_dot_product_attention(as3(a), as3(b), as3(b), NULL, (tern_attention_opts){0})",
    lambda a, b: F.scaled_dot_product_attention(a[None], b[None], b[None]))
for n, gates in (("rnn", 1), ("gru", 3), ("lstm", 4)):
    cell = "rnn_tanh_cell" if n == "rnn" else f"{n}_cell"
    c = {"rnn": "tern_rnn_cell(a, a, gates(b, 1), 4, false)", "gru": "tern_gru_cell(a, a, gates(b, 3), 4)",
         "lstm": "tern_lstm_cell(a, a, a, gates(b, 4), 4, NULL)"}[n]
    row(f"{n}_cell", c, lambda a, b, n=n, g=gates, cell=cell:
        first(getattr(torch, cell)(a, (a, a) if n == "lstm" else a, torch.cat([b] * g), torch.cat([b] * g))))

for n in "mse_loss l1_loss huber_loss smooth_l1_loss kl_div soft_margin_loss".split():
    c = {"huber_loss": "a, b, 1, ", "smooth_l1_loss": "a, b, 1, ", "kl_div": "a, b, false, "}.get(n, "a, b, ")
    row(n, f"tern_{n}({c}TERN_REDUCE_MEAN)", lambda a, b, n=n: getattr(F, n)(a, b))
row("bce_with_logits", "tern_bce_with_logits(a, b, (tern_bce_with_logits_opts){0})",
    lambda a, b: F.binary_cross_entropy_with_logits(a, b))
row("cosine_similarity", "tern_cosine_similarity(a, b, 1, 1e-8)", lambda a, b: F.cosine_similarity(a, b))
row("pairwise_distance", "tern_pairwise_distance(a, b, 2, 1e-6, false)", lambda a, b: F.pairwise_distance(a, b))
row("cdist", "tern_cdist(a, b, 2)", lambda a, b: torch.cdist(a, b))
row("pdist", "tern_pdist(a, 2)", lambda a, b: torch.pdist(a))
row("poisson_nll_loss", "tern_poisson_nll_loss(a, b, true, (tern_poisson_nll_opts){0})", lambda a, b: F.poisson_nll_loss(a, b))
row("hinge_embedding_loss", "tern_hinge_embedding_loss(a, b, 1, TERN_REDUCE_MEAN)", lambda a, b: F.hinge_embedding_loss(a, b))
row("margin_ranking_loss", "tern_margin_ranking_loss(a, b, b, 0, TERN_REDUCE_MEAN)", lambda a, b: F.margin_ranking_loss(a, b, b))
row("cosine_embedding_loss", "tern_cosine_embedding_loss(a, b, row0(b), 0, TERN_REDUCE_MEAN)",
    lambda a, b: F.cosine_embedding_loss(a, b, b[0]))
row("triplet_margin_loss", "tern_triplet_margin_loss(a, b, b, 1, (tern_triplet_margin_opts){0})",
    lambda a, b: F.triplet_margin_loss(a, b, b))
row("cross_entropy", "tern_cross_entropy(a, index4(), (tern_cross_entropy_opts){.weight = row0(b)})",
    lambda a, b: F.cross_entropy(a, index(a), b[0]))
row("nll_loss", "tern_nll_loss(a, index4(), (tern_nll_loss_opts){0})", lambda a, b: F.nll_loss(a, index(a)))
row("multi_margin_loss", "tern_multi_margin_loss(a, index4(), 1, 1, (tern_multi_margin_opts){0})",
    lambda a, b: F.multi_margin_loss(a, index(a)))
row("multilabel_soft_margin_loss", "tern_multilabel_soft_margin_loss(a, b, NULL, TERN_REDUCE_MEAN)",
    lambda a, b: F.multilabel_soft_margin_loss(a, b))

row("cat", "tern_cat((tern_tensor *[]){a, b}, 2, 0)", lambda a, b: torch.cat([a, b]))
row("stack", "tern_stack((tern_tensor *[]){a, b}, 2, 0)", lambda a, b: torch.stack([a, b]))
row("scatter_add", "tern_scatter_add(a, 0, tern_expand(index4(), TERN_SHAPE(4, 4)), b)",
    lambda a, b: torch.scatter_add(a, 0, index(a).expand(4, 4), b))
row("index_put", "tern_index_put(a, (tern_tensor *[]){index4()}, 1, b, false)", lambda a, b: torch.index_put(a, [index(a)], b))
row("index_select", "tern_index_select(a, 0, index4())", lambda a, b: a.index_select(0, index(a)))
row("embedding", "tern_embedding(a, index4(), (tern_embedding_opts){0})", lambda a, b: F.embedding(index(a), a))
row("grid_sample", "tern_grid_sample(as4(a), tern_reshape(b, TERN_SHAPE(1, 4, 2, 2)), (tern_grid_sample_opts){0})",
    lambda a, b: F.grid_sample(a[None, None], b.reshape(1, 4, 2, 2)))
for n, mode in (("nearest", "TERN_NEAREST"), ("bilinear", "TERN_LINEAR"), ("area", "TERN_AREA")):
    row(f"interpolate_{n}", f"tern_interpolate(as4(a), (tern_interpolate_opts){{.mode = {mode}, .size = {{8, 8}}}})",
        lambda a, b, n=n: F.interpolate(a[None, None], (8, 8), mode=n))
row("avg_pool2d", "tern_avg_pool2d(as4(a), (const int64_t[]){2, 2}, (tern_pool2d_opts){0})",
    lambda a, b: F.avg_pool2d(a[None, None], 2))
row("max_pool2d", "tern_max_pool2d(as4(a), (const int64_t[]){2, 2}, (tern_pool2d_opts){0})",
    lambda a, b: F.max_pool2d(a[None, None], 2))
row("lp_pool2d", "tern_lp_pool2d(as4(a), 2, (const int64_t[]){2, 2}, (tern_pool2d_opts){0})",
    lambda a, b: F.lp_pool2d(a[None, None], 2, 2))


def result(f, dtypes):
    with FakeTensorMode():
        torch.set_autocast_dtype("cuda", LOW)
        torch.set_autocast_enabled("cuda", True)
        try:
            return NAMES[f(*[(torch.rand(4, 4, device="cuda") + 0.1).to(d) for d in dtypes]).dtype]
        except RuntimeError:
            return "-"
        finally:
            torch.set_autocast_enabled("cuda", False)


with open(os.path.join(HERE, "autocast.def"), "w", encoding="utf-8") as out:
    out.write(HEAD)
    for name, c, f, refused in ROWS:
        found = ", ".join('"-"' if i in refused else f'"{result(f, p)}"' for i, p in enumerate(PAIRS))
        out.write(f"ROW({name}, ({c}), {found})\n")
