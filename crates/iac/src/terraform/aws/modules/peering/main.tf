# Private addresses of two regions reach each other: applications a database that fails over, and nodes, which are in the public
# subnets, their etcd.

terraform {
  required_providers {
    aws = {
      source                = "hashicorp/aws"
      configuration_aliases = [aws.one, aws.other]
    }
  }
}

resource "aws_vpc_peering_connection" "this" {
  provider = aws.one

  vpc_id      = var.one.vpc_id
  peer_vpc_id = var.other.vpc_id
  peer_region = var.other_region

  tags = { Name = var.name }
}

resource "aws_vpc_peering_connection_accepter" "this" {
  provider = aws.other

  vpc_peering_connection_id = aws_vpc_peering_connection.this.id
  auto_accept               = true

  tags = { Name = var.name }
}

resource "aws_route" "from_one" {
  provider = aws.one
  count    = length(var.one.route_table_ids)

  route_table_id            = var.one.route_table_ids[count.index]
  destination_cidr_block    = var.other.cidr
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.this.vpc_peering_connection_id
}

resource "aws_route" "from_other" {
  provider = aws.other
  count    = length(var.other.route_table_ids)

  route_table_id            = var.other.route_table_ids[count.index]
  destination_cidr_block    = var.one.cidr
  vpc_peering_connection_id = aws_vpc_peering_connection_accepter.this.vpc_peering_connection_id
}
