package libsecret
