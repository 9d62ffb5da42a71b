"""Attention, linear attention, rotary positions."""
from . import dtype_of, op


def heads(t, x, count):
    """[N, L, count E] -> [N, count, L, E]; what has four dimensions has its heads."""
    if t.ndim(x) == 4:
        return x
    n, length, width = t.shape(x)
    return t.transpose(t.reshape(x, (n, length, count, width // count)), 1, 2)


def allowed_keys(t, n, rows, keys, first, valid):
    """Which keys each row may take by position: bool, to broadcast to [N, H, rows, keys]; None if all. Row i stands at
    position first + i, first [N, 1, 1, 1] or 0-dim; valid [N, 1, 1, 1] counts the keys that are none of the padding."""
    i64 = {"dtype": t.enums["tern_dtype"]["TERN_I64"]}
    j = t.arange(0, keys, i64)
    ahead = t.sub(j, t.add(t.unsqueeze(t.arange(0, rows, i64), 1), first))  # the key's position less the row's
    left, right = n.attr("left_window_size", -1), n.attr("right_window_size", -1)
    parts = [t.lt(j, valid)] if valid is not None else []
    if n.attr("is_causal", 0):
        parts.append(t.le(ahead, t.zeros_like(ahead)))
    if left >= 0:
        parts.append(t.ge(ahead, t.full_like(ahead, -left)))
    if right >= 0:
        parts.append(t.le(ahead, t.full_like(ahead, right)))
    both = None
    for p in parts:
        both = p if both is None else t.logical_and(both, p)
    return both


def attention_mask(t, n, dtype, rows, keys, first, valid):
    """What the mask and the positions allow, as tern_scaled_dot_product_attention takes it; whether it is all causal's."""
    mask, only_causal = n.at(3), False
    bool_ = t.enums["tern_dtype"]["TERN_BOOL"]
    if mask is not None:
        short = keys - t.shape(mask)[-1]
        if short > 0:  # keys beyond the mask take no part
            value = 0.0 if t.dtype_of(mask) == bool_ else float("-inf")
            mask = t.pad(mask, [0, short], 2, {"value": value})
        if t.dtype_of(mask) != bool_:
            mask = t.cast(mask, dtype)
    plain = n.attr("left_window_size", -1) < 0 and n.attr("right_window_size", -1) < 0 and valid is None
    if plain and n.attr("is_causal", 0) and first is None:
        return mask, True
    zero = t.zeros((), {"dtype": t.enums["tern_dtype"]["TERN_I64"]})
    may = allowed_keys(t, n, rows, keys, zero if first is None else first, valid)
    if may is None or mask is None:
        return mask if may is None else may, only_causal
    if t.dtype_of(mask) == bool_:
        return t.logical_and(mask, may), only_causal
    return t.where(may, mask, t.full_like(mask, float("-inf"))), only_causal


@op("Attention")
def attention(t, n):
    merged = n.ndim() == 3
    q = heads(t, n.x[0], n.attr("q_num_heads"))
    k, v = (heads(t, x, n.attr("kv_num_heads")) for x in n.x[1:3])
    dtype, i64 = t.dtype_of(q), t.enums["tern_dtype"]["TERN_I64"]
    first = valid = None
    if n.at(4) is not None:
        first = t.full((), t.shape(n.x[4])[2], {"dtype": i64})
        k, v = t.cat([n.x[4], k], 2, 2), t.cat([n.x[5], v], 2, 2)
    rows, keys = t.shape(q)[2], t.shape(k)[2]
    if n.at(6) is not None:
        valid = t.reshape(t.cast(n.x[6], i64), (-1, 1, 1, 1))
        first = t.sub_scalar(valid, rows)
    mask, causal = attention_mask(t, n, dtype, rows, keys, first, valid)
    scale = n.attr("scale") or t.shape(q)[3] ** -0.5
    softcap = n.attr("softcap", 0.0) or 0.0
    scores = weights = None
    if softcap or n.n_out > 3:
        scores, weights = spelled_out(t, n, q, k, mask, causal, scale, softcap)
    if softcap:
        y = t.matmul(weights, shared_heads(t, v, q))
    else:
        y = t.scaled_dot_product_attention(q, k, v, mask, {"causal": causal, "scale": scale})
    if merged:
        y = t.flatten(t.transpose(y, 1, 2), 2, 3)
    return [y, k, v, scores]


def shared_heads(t, x, q):
    """k or v with each of its heads as often as heads of q share it."""
    return t.repeat_interleave(x, t.shape(q)[1] // t.shape(x)[1], 1)


def spelled_out(t, n, q, k, mask, causal, scale, softcap):
    """The scores that the node shows (qk_matmul_output_mode) and the weights: for these, and for capped scores, which
    tern_scaled_dot_product_attention does not have."""
    mode, dtype = n.attr("qk_matmul_output_mode", 0), t.dtype_of(q)
    root = scale ** 0.5  # on both sides, so that f16 products stay in range
    scores = t.matmul(t.mul_scalar(q, root), t.mul_scalar(t.transpose(shared_heads(t, k, q), 2, 3), root))
    shown = scores
    if softcap:
        scores = t.mul_scalar(t.tanh(t.div_scalar(scores, softcap)), softcap)
        shown = scores if mode == 1 else shown
    lowest = t.full_like(scores, float("-inf"))
    out = t.zeros_like(scores)  # 0 where a key takes part, else -inf; plus an added mask
    if causal:
        out = t.where(t.tril(t.cast(t.ones_like(out), t.enums["tern_dtype"]["TERN_BOOL"]), 0), out, lowest)
    if mask is not None:
        is_bool = t.dtype_of(mask) == t.enums["tern_dtype"]["TERN_BOOL"]
        out = t.where(mask, out, lowest) if is_bool else t.add(out, mask)
    scores = t.add(scores, out)
    shown = scores if mode == 2 else shown
    if n.attr("softmax_precision") is not None:
        scores = t.cast(scores, dtype_of(t, n.attr("softmax_precision")))
    weights = t.cast(t.softmax(scores, -1), dtype)
    none = t.eq(t.max(out, [-1], 1, True), t.full((), float("-inf"), {"dtype": dtype}))  # rows without a key
    weights = t.where(none, t.zeros_like(weights), weights)
    return weights if mode == 3 else shown, weights


@op("RotaryEmbedding")
def rotary(t, n):
    x, merged = n.x[0], n.ndim() == 3
    x = heads(t, x, n.attr("num_heads", 0))
    tables = n.x[1:3]
    if n.at(3) is not None:
        place = t.shape(n.x[3])
        flat = t.reshape(n.x[3], (-1,))
        tables = [t.reshape(t.index_select(c, 0, flat), place + (-1,)) for c in tables]
    cos, sin = (t.unsqueeze(c, 1) for c in tables)  # one for all heads
    y = t.rotary(x, cos, sin, {"interleaved": bool(n.attr("interleaved", 0))})
    return t.flatten(t.transpose(y, 1, 2), 2, 3) if merged else y


@op("LinearAttention")
def linear_attention(t, n):
    rule = n.attr("update_rule", "gated_delta")
    kv, f32 = n.attr("kv_num_heads"), t.enums["tern_dtype"]["TERN_F32"]
    q, k, v = (heads(t, t.cast(x, f32), c) for x, c in zip(n.x[:3], (n.attr("q_num_heads"), kv, kv)))
    steps, width = t.shape(q)[2:]
    decay = beta = None
    if "gated" in rule:  # one for a head, or for each of its keys' elements
        decay = t.unsqueeze(t.exp(heads(t, t.cast(n.x[4], f32), kv)), 4)
    if "delta" in rule:
        beta = heads(t, t.cast(n.x[5], f32), t.shape(n.x[5])[2])
    state = n.at(3)
    kept = t.dtype_of(state if state is not None else n.x[0])
    shape = (t.shape(k)[0], kv, t.shape(k)[3], t.shape(v)[3])
    state = t.zeros(shape, {"dtype": f32}) if state is None else t.cast(state, f32)
    out = []
    for i in range(steps):
        key, value = (t.narrow(x, 2, i, 1) for x in (k, v))  # [N, H, 1, E]
        if decay is not None:
            state = t.mul(state, t.select(decay, 2, i))
        if beta is not None:
            value = t.mul(t.narrow(beta, 2, i, 1), t.sub(value, t.matmul(key, state)))
        state = t.add(state, t.matmul(t.transpose(key, 2, 3), value))
        out.append(t.matmul(t.narrow(q, 2, i, 1), shared_heads(t, state, q)))
    y = t.mul_scalar(t.cat(out, len(out), 2), n.attr("scale", 0.0) or width ** -0.5)
    return [t.cast(t.flatten(t.transpose(y, 1, 2), 2, 3), t.dtype_of(n.x[0])), t.cast(state, kept)]


@op("FlexAttention")
def flex_attention(t, n):
    q, k, v = n.x[:3]
    scale = n.attr("scale") or t.shape(q)[3] ** -0.5
    score_mod, prob_mod = n.attr("score_mod"), n.attr("prob_mod")
    if score_mod is None and prob_mod is None:
        return t.scaled_dot_product_attention(q, k, v, None, {"scale": scale})
    dtype = t.enums["tern_dtype"]["TERN_F32"]
    if n.attr("softmax_precision") is not None or t.dtype_of(q) == t.enums["tern_dtype"]["TERN_F64"]:
        dtype = dtype_of(t, n.attr("softmax_precision", 11))
    scores = t.cast(t.mul_scalar(t.matmul(q, t.transpose(shared_heads(t, k, q), 2, 3)), scale), dtype)
    scores = scores if score_mod is None else n.run(score_mod, [scores])[0]
    weights = t.softmax(scores, -1)
    weights = weights if prob_mod is None else n.run(prob_mod, [weights])[0]
    return t.cast(t.matmul(weights, t.cast(shared_heads(t, v, q), dtype)), t.dtype_of(v))
