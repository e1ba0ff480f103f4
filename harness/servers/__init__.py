"""Real systems under test, started as children for demonstrations and tests.

    process     start, wait until healthy, stop, leave nothing behind
    llamacpp    llama.cpp's own server out of the `xllamacpp` wheel, and the two models it can serve
    tiny_gguf   a random-weight model of 2.5 MB, made on the spot

This is the one place that starts a server; nothing in it runs in a process that makes load.
"""
