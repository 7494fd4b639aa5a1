package teav1
