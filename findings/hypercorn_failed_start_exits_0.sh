#!/usr/bin/env bash
# Hypercorn exits with 0 when the application could not start.
#
# Seen with:  Hypercorn 0.18.0, trio 0.35.0, Linux
# What it does:  the application answers `lifespan.startup` with `lifespan.startup.failed`, as Starlette, FastAPI and Quart do for an
# exception of theirs. The worker process prints LifespanFailureError with its traceback, and `hypercorn` ends with status 0. So it
# is with the worker classes trio and asyncio. With `--workers 0`, which is the same without a process of its own for the worker, it
# ends with 1.
# Why it surprises:  ASGI has this message so that a server that can't start says so, and an exit status is where supervisors look. systemd's
# `Restart=on-failure`, `docker run --restart on-failure`, a `set -e` or a `hypercorn … || alarm` take it for a service that did its
# work and ended well. A replica whose store is locked or refused in its lifespan is then simply away: nobody starts it again.
#
# Output seen:
#   trio, the default of one worker: LifespanFailureError, exit status 0
#   trio, no worker process: LifespanFailureError, exit status 1
#   asyncio, the default of one worker: LifespanFailureError, exit status 0
#   asyncio, no worker process: LifespanFailureError, exit status 1
# Exit status: 0 if it is still so, 1 if it is not, another one if it could not be tried.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check Hypercorn==0.18.0 trio==0.35.0

cat > "$folder/application.py" <<'PYTHON'
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "the store is locked"})
PYTHON
cd "$folder"
seen=""
try() {  # title, worker class, options
    local status=0 error
    venv/bin/hypercorn --bind unix:"$folder/socket" --worker-class "$2" "${@:3}" application:app >output 2>&1 || status=$?
    error=$(grep -o 'LifespanFailureError' output | head -1 || true)
    echo "$2, $1: ${error:-no error}, exit status $status"
    seen="$seen ${error:-none} $status"
}
for class in trio asyncio; do
    try "the default of one worker" "$class"
    try "no worker process" "$class" --workers 0
done
once=" LifespanFailureError 0 LifespanFailureError 1"
[ "$seen" = "$once$once" ]
