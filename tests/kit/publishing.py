"""What clients that publish send: descriptions as FFmpeg and GStreamer write them."""

RECORD_TCP = "RTP/AVP/TCP;unicast;interleaved=0-1;mode=record"
SETS = "Z0LAH9oBQBbpqAgICgAAAwACAAADAHgeMGVA,aM48gA=="  # 1280x720
VIDEO = (
    "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    f"a=fmtp:96 packetization-mode=1; sprop-parameter-sets={SETS}; profile-level-id=42C01F\r\n"
)
AUDIO = "m=audio 0 RTP/AVP 97\r\na=rtpmap:97 MPEG4-GENERIC/48000/1\r\n"
HEAD = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=No Name\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\na=tool:libavformat 59.27.100\r\n"
DESCRIPTION = f"{HEAD}{VIDEO}a=control:streamid=0\r\n".encode()
WITH_AUDIO = f"{HEAD}{AUDIO}a=control:streamid=0\r\n{VIDEO}a=control:streamid=1\r\n".encode()
