"""Is there an order of overlapping operations that explains what each of them saw? A checker for small histories (Wing and Gong's
search with memory): one message's flags as a set, and its mod-sequence, which rises with every change."""


class Operation:
    """Between two times of one clock. kind: "+", "-", "=" with the asked flags, or "read", which saw (flags, modseq).
    `once`: the operation that this one comes after. `limit`: UNCHANGEDSINCE, and whether the server refused."""

    def __init__(self, began, ended, kind, asked=(), saw=None, once=None, limit=None, refused=False):
        self.began, self.ended, self.kind, self.asked, self.saw, self.once = began, ended, kind, frozenset(asked), saw, once
        self.limit, self.refused = limit, refused

    def __repr__(self):
        saw = f"{sorted(self.saw[0])} {self.saw[1]}" if self.saw else ""
        return f"[{self.began:.6f} {self.ended:.6f}] {self.kind} {','.join(sorted(self.asked))}{saw}" + (
            "" if self.limit is None else f" UNCHANGEDSINCE {self.limit} {'refused' if self.refused else 'done'}")


def read(began, ended, saw):
    return [Operation(began, ended, "read", saw=saw)]


def store(began, ended, kind, asked, saw, limit=None):
    """STORE changes, and tells then what there is, which may be somebody's later change already. saw: None when refused."""
    write = Operation(began, ended, kind, asked, limit=limit, refused=saw is None)
    if saw is None:
        return [write]
    return [write, Operation(began, ended, "read", saw=saw, once=write)]


def after(operation, state):
    """The state after it, or None when it cannot have happened in this one. State: flags, modseq, and whether they changed
    since that modseq, so that the next to be seen is higher."""
    flags, modseq, changed = state
    if operation.kind == "read":
        told, number = operation.saw
        fits = told == flags and (number > modseq if changed else number == modseq)
        return (flags, number, False) if fits else None
    if operation.limit is not None:
        least = modseq + 1 if changed else modseq
        if operation.refused:
            return state if changed or modseq > operation.limit else None
        if least > operation.limit:
            return None
    new = {"+": flags | operation.asked, "-": flags - operation.asked, "=": operation.asked}[operation.kind]
    return (new, modseq, changed or new != flags)


def explained(history, flags, modseq):
    """An order of the operations, each between its begin and its end, that explains all; None when there is none. Operations
    are bits of a mask; what was found to lead nowhere is not tried again."""
    history = sorted(history, key=lambda o: (o.began, o.once is not None))
    needs = {i: history.index(o.once) for i, o in enumerate(history) if o.once}
    everything, dead, path = (1 << len(history)) - 1, set(), []
    state = (flags, modseq, False)
    stack = [(0, state, iter(candidates(history, needs, 0, state)))]
    while stack:
        done, state, left = stack[-1]
        if done == everything:
            return [history[i] for i in path]
        for i in left:
            new, more = after(history[i], state), done | 1 << i
            if new is not None and (more, new) not in dead:
                path.append(i)
                stack.append((more, new, iter(candidates(history, needs, more, new))))
                break
        else:
            dead.add((done, state))
            stack.pop()
            if path:
                path.pop()
    return None


def candidates(history, needs, done, state):
    """What may come next: all that began before the first end among what is left. What reads the state as it is changes
    nothing and need not be tried later."""
    left = [i for i in range(len(history)) if not done >> i & 1]
    first = min((history[i].ended for i in left), default=0)
    ready = [i for i in left if history[i].began <= first and (i not in needs or done >> needs[i] & 1)]
    free = [i for i in ready if history[i].kind == "read" and not state[2] and after(history[i], state)]
    return free[:1] or sorted(ready, key=lambda i: history[i].kind != "read")
