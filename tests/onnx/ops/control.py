"""If, Loop and Scan: the graphs inside are run by the harness, as a C program would with if and for."""
import numpy as np

from . import Excluded, op


def true(t, x):
    return bool(np.ravel(t.numpy(x))[0])


@op("If")
def if_(t, n):
    return n.run(n.attributes["then_branch" if true(t, n.x[0]) else "else_branch"], [])


@op("Loop")
def loop(t, n):
    body = n.attributes["body"]
    trips = None if n.at(0) is None else int(np.ravel(n.host(0))[0])
    going, states = n.at(1) is None or true(t, n.x[1]), list(n.x[2:])
    scanned = [[] for _ in body.output[1 + len(states):]]
    i = 0
    while going and (trips is None or i < trips):
        results = n.run(body, [np.asarray(i, np.int64), np.asarray(True)] + states)
        going, states = true(t, results[0]), results[1:1 + len(states)]
        for s, r in zip(scanned, results[1 + len(states):]):
            s.append(r)
        i += 1
    if i == 0 and scanned:
        raise Excluded("Loop that never runs: the shape of what it collects is not known")
    return states + [t.stack(s, len(s), 0) for s in scanned]


@op("Scan")
def scan(t, n):
    body, count = n.attributes["body"], n.attr("num_scan_inputs")
    if any(any(n.attr(a) or []) for a in ("scan_input_axes", "scan_input_directions", "scan_output_axes",
                                          "scan_output_directions", "directions")):
        raise Excluded("Scan from behind or along another axis than the first")
    if n.opset < 9:  # with a batch before everything, and the lengths as first input
        if n.at(0) is not None:
            raise Excluded("Scan with a length for each sample, of operator set 8")
        x = n.x[1:]
        each = [one_scan(t, n, body, [t.select(v, 0, b) for v in x], count) for b in range(t.shape(x[0])[0])]
        return [t.stack(list(v), len(v), 0) for v in zip(*each)]
    return one_scan(t, n, body, n.x, count)


def one_scan(t, n, body, inputs, count):
    states, scanned = list(inputs[:-count]), inputs[-count:]
    out = [[] for _ in body.output[len(states):]]
    for i in range(t.shape(scanned[0])[0]):
        results = n.run(body, states + [t.select(v, 0, i) for v in scanned])
        states = results[:len(states)]
        for o, r in zip(out, results[len(states):]):
            o.append(r)
    return states + [t.stack(o, len(o), 0) for o in out]
