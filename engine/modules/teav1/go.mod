module github.com/vito/tuist/teav1
