#!/usr/bin/env python3
"""An agent for AgentAPI's exec driver, with nothing but the standard library.

It reads one JSON object from the first line of standard input and answers with
one JSON object a line on standard output. This one repeats what it is told, word
by word, and remembers nothing: replace answer() by something clever.
"""
import json
import sys
import threading


def say(**line):
    print(json.dumps(line), flush=True)


def answer(request):
    """Yields the pieces of the answer."""
    last = request["messages"][-1]["content"] or ""
    for word in last.split():
        yield word + " "


def main():
    request = json.loads(sys.stdin.readline())
    if request["version"] != 1:
        say(type="error", kind="unsupported", message="this agent speaks version 1")
        return

    cancelled = threading.Event()

    def listen():  # a second line asks to stop, and so does the end of the input
        sys.stdin.readline()
        cancelled.set()

    threading.Thread(target=listen, daemon=True).start()

    say(type="started")
    words = 0
    for piece in answer(request):
        if cancelled.is_set():
            return
        say(type="text", text=piece)
        words += 1
    prompt = sum(len((m["content"] or "").split()) for m in request["messages"])
    say(type="usage", prompt_tokens=prompt, completion_tokens=words)
    say(type="finished", reason="stop")


if __name__ == "__main__":
    main()
