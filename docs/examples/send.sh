#!/bin/sh
set -e
exec twistd -n rtmp --port="${PORT:-1935}" \
    --sink='send:hls/{app}/{name}/index.m3u8#hls_time=1&hls_list_size=0'
