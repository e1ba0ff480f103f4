"""Real systems under test, started as children: for a user, a run, a demonstration or a test.

    recipe, ready   how to start a server and when it is ready, as values
    process         start, wait (waiting, output), stop, leave nothing behind (leash, guard)
    kinds           the servers that can be started by a word (kind_options, docker, llamacpp)
    cli, beside     `tokenswarm serve-backend`; `--serve` of a Locust run
    drive           a command to its end while a server is up
    llamacpp        llama.cpp's own server out of the `xllamacpp` wheel, and the two models it can serve
    tiny_gguf       a random-weight model of 2.5 MB, made on the spot

This is the one place that starts a server. In a process that makes load nothing of it runs while load does.
"""
