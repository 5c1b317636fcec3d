"""Leveret in other people's frameworks, where a recipe would be longer than a few lines.

Nothing imports these modules. `leveret.contrib.asgi` is for FastAPI, Starlette, Litestar and other
apps of ASGI, and needs none of them; `leveret.contrib.django` is for Django.
"""
