"""Talking to the system under test, one answer at a time, each measured as a request of a load is.

    choices     what its user has chosen: model, system prompt, sampling
    dialogue    what was said so far, and the next request
    line        the way to the server: a client as a load has one, and what the server says of its models
    answering   one answer under way: its text as it comes, its end
    follow      text out of what has come of a response
    figures     one answer's figures, out of its record
    visible     a model's text, so that it cannot steer a terminal
    cli         `tokenswarm chat`

An answer's figures come from its `RequestRecord`, which the same client, engine and decoder make that make a load's. Whoever
looks on while it comes reads only what the engine has kept.
"""
