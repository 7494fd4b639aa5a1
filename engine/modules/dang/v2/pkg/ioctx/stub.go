package ioctx
