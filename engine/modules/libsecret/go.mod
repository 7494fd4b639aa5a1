module github.com/jedevc/go-libsecret
