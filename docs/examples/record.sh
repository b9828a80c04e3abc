#!/bin/sh
set -e
exec twistd -n rtmp --port="${PORT:-1935}" \
    --sink='record:recordings:format=mp4:name={app}/{stream}-{part}.mp4:rotate=3600'
