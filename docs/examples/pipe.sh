#!/bin/sh
set -e
exec twistd -n rtmp --port="${PORT:-1935}" \
    --sink='pipe:ffmpeg -v warning -i - -c copy {app}-{name}.mkv #policy=lossless'
