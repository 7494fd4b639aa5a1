module github.com/vito/dang/v2
