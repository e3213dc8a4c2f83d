# A DynamoDB global table. Every region reads and writes; there is no writer to fail over.

resource "aws_dynamodb_table" "this" {
  name         = var.name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "pk"
  range_key    = "sk"

  deletion_protection_enabled = true
  stream_enabled              = true
  stream_view_type            = "NEW_AND_OLD_IMAGES"

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.kms_key_arn
  }

  dynamic "replica" {
    for_each = var.replicas

    content {
      region_name                 = replica.key
      kms_key_arn                 = replica.value
      consistency_mode            = var.strong ? "STRONG" : "EVENTUAL"
      point_in_time_recovery      = true
      propagate_tags              = true
      deletion_protection_enabled = true
    }
  }

  dynamic "global_table_witness" {
    for_each = var.witness == null ? [] : [var.witness]

    content {
      region_name = global_table_witness.value
    }
  }

  tags = { "lifeboat:backup" = var.app }
}
