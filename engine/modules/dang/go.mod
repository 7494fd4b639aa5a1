module github.com/vito/dang
