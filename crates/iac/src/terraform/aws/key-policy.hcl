jsonencode({
  Version = "2012-10-17"
  Statement = [
    {
      Sid       = "Account"
      Effect    = "Allow"
      Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
      Action    = "kms:*"
      Resource  = "*"
    },
    {
      Sid       = "VolumesOfInstances"
      Effect    = "Allow"
      Principal = { AWS = "*" }
      Action    = ["kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
      Resource  = "*"
      Condition = {
        StringEquals = { "kms:CallerAccount" = local.account }
        StringLike   = { "kms:ViaService" = "ec2.*.amazonaws.com" }
      }
    },
    {
      Sid       = "Logs"
      Effect    = "Allow"
      Principal = { Service = [@{logs}] }
      Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
      Resource  = "*"
      Condition = {
        ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${local.partition}:logs:*:${local.account}:*" }
      }
    },
  ]
})
