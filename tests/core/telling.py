"""What came of a line of a scenario, in words: what differs between two statuses, and what is to be done."""

from supervisor_core.messages import Action, Attach, Interrupt, KillRun, Launch, SendSignal, Watch
from supervisor_core.model import Pool, Program, Status, WorkerSpec
from supervisor_core.policy import words_of


def changes_in_words(old: Status | None, new: Status) -> list[str]:
    """What differs, each in a few words; of a new worker everything that is worth a word."""
    old = old or Status(new.spec, state=new.state)
    words = [f"{old.state} -> {new.state}" if old.state != new.state else str(new.state)]
    if new.run != old.run:
        words.append(f"run {new.run}")
    for key in ("ready", "wanted", "stuck", "removing", "cycling", "outdated", "enabled"):
        if getattr(old, key) != getattr(new, key):
            words.append(key if getattr(new, key) else f"not {key}")
    if new.pid != old.pid and new.pid is not None:
        words.append(f"pid {new.pid}")
    for key in ("health", "failures", "restarts", "leader_gone", "slot"):
        if getattr(old, key) != getattr(new, key) and getattr(new, key) not in (None, "unknown"):
            words.append(f"{key.replace('_', ' ')} {getattr(new, key)}")
    if new.gave_up and not old.gave_up:
        words.append("gave up")
    if len(new.matched) > len(old.matched):
        words.append(f"wrote {new.matched[-1]}")
    if new.restarting != old.restarting:
        words.append(f"restarting {new.restarting}".rstrip() if new.restarting is not None else "restarting no more")
    if new.last_exit != old.last_exit and new.last_exit is not None:
        author = f" by {new.last_exit.by}" if new.last_exit.by else ""
        words.append(f"ended: {words_of(new.last_exit)}{author}")
    if new.blame != old.blame and new.blame:
        words.append(f"because: {new.blame}")
    if new.blocked_on != old.blocked_on and new.blocked_on:
        good = " (for good)" if any(blocker.for_good for blocker in new.blocked_on) else ""
        words.append("waits: " + "; ".join(f"{each.worker} ({each.why})" for each in new.blocked_on) + good)
    if new.waiting_for != old.waiting_for and new.waiting_for:
        words.append("held by " + " and ".join(new.waiting_for))
    if new.dependents != old.dependents:
        words.append("required by " + (" and ".join(new.dependents) or "nobody"))
    if new.deadline is not None and (new.deadline, new.state) != (old.deadline, old.state):
        words.append(f"until {new.deadline:.6g}s")
    return words


def action_in_words(action: Action) -> str:
    match action:
        case Launch(name=name, run=run, spec=WorkerSpec(pool=Pool(), program=Program(argv=argv))):
            return f"=> launch {name} run {run} as {' '.join(argv)}"
        case Launch():
            verb = "launch"
        case Attach():
            verb = "attach to"
        case Interrupt():
            verb = "interrupt"
        case KillRun():
            verb = "kill"
        case Watch(name=name, run=run, patterns=patterns):
            return f"=> look in {name} run {run} for {' and '.join(patterns)}"
        case SendSignal(signal=signal, tree=tree):
            verb = f"send {signal} to {'the tree of' if tree else 'the leader of'}"
    return f"=> {verb} {action.name} run {action.run}"
